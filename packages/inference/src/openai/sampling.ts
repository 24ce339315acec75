// SPDX-License-Identifier: Apache-2.0
import { randomInt } from 'node:crypto'
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import type { ChatRequest, CompletionRequest } from '@open-nemo/contract/inference/schemas.ts'
import type { InferenceConfig } from '../config.ts'
import type { GenerateRequest } from '../engine/types.ts'

type Shared = ChatRequest | CompletionRequest
export type Sampling = Omit<GenerateRequest, 'prompt' | 'adapter' | 'grammar' | 'topLogprobs'>

/** llama.cpp's own default: it cuts the tail of unlikely tokens and makes sampling cheap. */
const DEFAULT_TOP_K = 40
const MAX_SEED = 2 ** 31

/** The sampling that a request asks for, with the service's defaults. Throws PARAMETER_NOT_SUPPORTED. */
export function samplingOf(
  request: Shared,
  config: InferenceConfig,
  maxTokens: number | null | undefined,
): Sampling {
  refuseUnsupported(request)
  const { stop, seed, top_k } = request
  return {
    maxTokens: maxTokens ?? config.NEMO_DEFAULT_MAX_TOKENS,
    temperature: request.temperature ?? config.NEMO_DEFAULT_TEMPERATURE,
    topP: request.top_p ?? config.NEMO_DEFAULT_TOP_P,
    topK: top_k === -1 ? 0 : (top_k ?? DEFAULT_TOP_K),
    minP: request.min_p ?? 0,
    // Seeds of any size and sign are taken; the engine knows 31 bits.
    seed: typeof seed === 'number' ? Math.abs(seed % MAX_SEED) : randomInt(MAX_SEED),
    repeatable: typeof seed === 'number',
    stop: typeof stop === 'string' ? [stop] : (stop ?? []),
    frequencyPenalty: request.frequency_penalty ?? 0,
    presencePenalty: request.presence_penalty ?? 0,
    ignoreEos: request.ignore_eos ?? false,
  }
}

function refuseUnsupported(request: Shared): void {
  const n = request.n ?? 1
  if (request.best_of && request.best_of > n) {
    throw errors.PARAMETER_NOT_SUPPORTED({ field: 'best_of', reason: 'candidates are not ranked here' })
  }
  if (request.logit_bias && Object.keys(request.logit_bias).length > 0) {
    throw errors.PARAMETER_NOT_SUPPORTED({ field: 'logit_bias', reason: 'tokens cannot be biased here' })
  }
  if (typeof request.suffix === 'string' && request.suffix !== '') {
    throw errors.PARAMETER_NOT_SUPPORTED({ field: 'suffix', reason: 'the model cannot fill in the middle' })
  }
  if (Array.isArray(request.functions) && request.functions.length > 0) {
    throw errors.PARAMETER_NOT_SUPPORTED({ field: 'functions', reason: 'it was replaced by tools' })
  }
}
