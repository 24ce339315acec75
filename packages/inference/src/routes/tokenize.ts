// SPDX-License-Identifier: Apache-2.0
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import {
  type DetokenizeRequest,
  detokenizeRequest,
  detokenizeResponse,
  type TokenizeRequest,
  tokenizeRequest,
  tokenizeResponse,
  tokenizerInfo,
} from '@open-nemo/contract/inference/schemas.ts'
import { type App, route } from '@open-nemo/runtime'
import { z } from 'zod'
import type { InferenceConfig } from '../config.ts'
import type { BaseModels } from '../models/base-models.ts'
import { doing, type ServedModels } from '../models/served-models.ts'
import { toApiError } from '../openai/generation.ts'

export interface TokenizeRoutes {
  app: App
  config: InferenceConfig
  bases: BaseModels
  served: ServedModels
}

/**
 * The tokenizer of the models that run here, as vLLM offers it: clients that score answers, such as lm-eval, count
 * tokens with it. At the root as there, and below /v1 beside the other operations.
 */
export function registerTokenize(on: TokenizeRoutes): void {
  for (const [prefix, suffix] of [
    ['', ''],
    ['/v1', '_v1'],
  ] as const) {
    route(
      on.app,
      {
        method: 'POST',
        path: `${prefix}/tokenize`,
        id: `tokenize${suffix}`,
        summary: 'Tokens of a text or of a conversation',
        body: tokenizeRequest,
        response: tokenizeResponse,
      },
      ({ body, c }) => tokenize(on, body, c.req.raw.signal),
    )
    route(
      on.app,
      {
        method: 'POST',
        path: `${prefix}/detokenize`,
        id: `detokenize${suffix}`,
        summary: 'Text of tokens',
        body: detokenizeRequest,
        response: detokenizeResponse,
      },
      ({ body, c }) => detokenize(on, body, c.req.raw.signal),
    )
    route(
      on.app,
      {
        method: 'GET',
        path: `${prefix}/tokenizer_info`,
        id: `tokenizer_info${suffix}`,
        summary: 'Special tokens and chat template of a model',
        query: z.looseObject({ model: z.string().optional() }),
        response: tokenizerInfo,
      },
      ({ query }) => info(on, query.get('model') || undefined),
    )
  }
}

async function tokenize(on: TokenizeRoutes, body: TokenizeRequest, signal: AbortSignal) {
  const { name, base, loaded } = await localModel(on, body.model)
  const isChat = 'messages' in body && body.messages !== undefined
  let text = body.prompt ?? ''
  if (isChat) {
    const template = base.template(loaded)
    if (!template) throw errors.NO_CHAT_TEMPLATE({ model: name, field: 'model' })
    try {
      text = template.render({
        messages: body.messages ?? [],
        tools: body.tools,
        add_generation_prompt: body.add_generation_prompt ?? true,
      })
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw errors.MESSAGES_REFUSED({ reason, field: 'messages' }, { cause })
    }
  }
  // A chat template writes the special tokens itself.
  const addSpecialTokens = body.add_special_tokens ?? !isChat
  const { tokens, pieces } = await base.engine.tokenize({ text, addSpecialTokens }, signal).catch((err) => {
    throw toApiError(err, name, { loaded, field: isChat ? 'messages' : 'prompt' })
  })
  return {
    count: tokens.length,
    max_model_len: loaded.contextSize,
    tokens,
    token_strs: body.return_token_strs ? pieces : null,
  }
}

async function detokenize(on: TokenizeRoutes, body: DetokenizeRequest, signal: AbortSignal) {
  const { name, base, loaded } = await localModel(on, body.model)
  const { text } = await base.engine.tokenize({ tokens: body.tokens }, signal).catch((err) => {
    throw toApiError(err, name, { loaded, field: 'tokens' })
  })
  return { prompt: text }
}

async function info(on: TokenizeRoutes, model: string | undefined) {
  const { base, loaded } = await localModel(on, model)
  const template = base.template(loaded)
  return {
    tokenizer_class: 'LlamaCppTokenizer',
    model_max_length: loaded.contextSize,
    bos_token: loaded.bos ?? null,
    eos_token: loaded.eos ?? null,
    pad_token: null,
    ...(template ? { chat_template: template.source } : {}),
  }
}

/** The model asked for, or the one loaded at start. Throws for one whose tokenizer is elsewhere. */
async function localModel({ config, bases, served }: TokenizeRoutes, given: string | null | undefined) {
  const name = given || bases.primary?.model.id
  if (!name) throw errors.MODEL_NOT_FOUND({ model: '(none)', models: '(none yet)', field: 'model' })
  const found = await served.resolve(name)
  if (found.kind !== 'local') {
    const isHere = found.kind !== 'upstream'
    const does = isHere ? doing(found) : 'runs on a server elsewhere'
    const instead = isHere ? 'a model that generates' : 'the tokenizer of that server'
    throw errors.WRONG_TASK({ model: name, does, operation: 'tokenize', instead, field: 'model' })
  }
  const { base } = found
  const loaded = await base.engine.ready(config.NEMO_LOAD_WAIT * 1000).catch((err) => {
    throw toApiError(err, name)
  })
  return { name, base, loaded }
}
