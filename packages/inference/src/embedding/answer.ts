// SPDX-License-Identifier: Apache-2.0
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import type { EmbeddingRequest, EmbeddingResponse } from '@open-nemo/contract/inference/schemas.ts'
import type { InferenceConfig } from '../config.ts'
import { toApiError } from '../openai/generation.ts'
import type { Embedder } from './embedders.ts'
import type { WordPiece } from './wordpiece.ts'

/** Inputs sent to the engine at a time: a client that hangs up waits for no more than these. */
const BATCH = 32

/** Answers an embedding request. Throws what is wrong with the input by its place. */
export async function answerEmbeddings(
  name: string,
  embedder: Embedder,
  request: EmbeddingRequest,
  config: InferenceConfig,
  signal: AbortSignal,
): Promise<EmbeddingResponse> {
  const leave = embedder.enter()
  if (!leave)
    throw errors.ENGINE_BUSY({ model: name, waiting: config.NEMO_ENGINE_QUEUE }).with({ 'retry-after': '2' })
  try {
    await embedder.engine.ready(config.NEMO_LOAD_WAIT * 1000)
    const inputs = tokensOf(name, embedder, request)
    const vectors: string[] = []
    for (let i = 0; i < inputs.length; i += BATCH) {
      vectors.push(...(await embedder.engine.embed(inputs.slice(i, i + BATCH), signal)))
    }
    const prompt_tokens = inputs.reduce((sum, tokens) => sum + tokens.length, 0)
    return {
      object: 'list',
      data: vectors.map((vector, index) => ({
        object: 'embedding',
        index,
        embedding: shown(vector, request),
      })),
      model: request.model,
      usage: { prompt_tokens, total_tokens: prompt_tokens },
    }
  } catch (err) {
    throw toApiError(err, name)
  } finally {
    leave?.()
  }
}

function tokensOf(name: string, embedder: Embedder, request: EmbeddingRequest): number[][] {
  const tokenizer = embedder.tokenizer()
  return inputsOf(request.input).map((input, index) => {
    const tokens = typeof input === 'string' ? tokenizer.encode(input) : given(tokenizer, input)
    if (tokens.length <= embedder.contextSize) return tokens
    const keep = embedder.contextSize - 2
    const body = tokens.slice(1, -1)
    if (request.truncate === 'END') return [tokenizer.cls, ...body.slice(0, keep), tokenizer.sep]
    if (request.truncate === 'START') return [tokenizer.cls, ...body.slice(-keep), tokenizer.sep]
    throw errors.INPUT_TOO_LONG({
      model: name,
      index,
      tokens: tokens.length,
      limit: embedder.contextSize,
      field: 'input',
    })
  })
}

function inputsOf(input: EmbeddingRequest['input']): (string | number[])[] {
  if (typeof input === 'string') return [input]
  return typeof input[0] === 'number' ? [input as number[]] : (input as (string | number[])[])
}

/** Token ids as clients send them, with and without the tokens around them. */
function given({ cls, sep, size }: WordPiece, ids: number[]): number[] {
  const bad = ids.find((id) => id < 0 || id >= size)
  if (bad !== undefined) {
    throw errors.PROMPT_REFUSED({ reason: `token ${bad} is not one of 0..${size - 1}`, field: 'input' })
  }
  return ids[0] === cls && ids.at(-1) === sep && ids.length > 1 ? ids : [cls, ...ids, sep]
}

/** A vector in the asked encoding; fewer dimensions are the first ones, brought to length one again. */
function shown(base64: string, { dimensions, encoding_format }: EmbeddingRequest): number[] | string {
  const whole = encoding_format === 'base64'
  if (whole && !dimensions) return base64
  const bytes = Buffer.from(base64, 'base64')
  const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength))
  let vector = all
  if (dimensions) {
    if (dimensions > all.length) {
      throw errors.PARAMETER_NOT_SUPPORTED({
        field: 'dimensions',
        reason: `the model has ${all.length} dimensions`,
      })
    }
    const first = all.slice(0, dimensions)
    const length = Math.hypot(...first) || 1
    vector = first.map((value) => value / length)
  }
  return whole ? Buffer.from(vector.buffer).toString('base64') : [...vector]
}
