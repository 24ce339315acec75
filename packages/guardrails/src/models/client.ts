// SPDX-License-Identifier: Apache-2.0

import { messageText } from '../engine/text.ts'
import type { Message } from '../engine/types.ts'
import { failureText, ModelError, refusalText } from './errors.ts'
import type { ModelEndpoint } from './resolve.ts'
import { eventData } from './sse.ts'

type Json = Record<string, unknown>

/** One call of a model's API. */
export interface ModelCall {
  endpoint: ModelEndpoint
  /** Name at the endpoint. */
  model: string
  key: string | undefined
  messages: Message[]
  parameters: Json
  signal: AbortSignal
  fetch: typeof globalThis.fetch
}

/** A chat answer in OpenAI's shape, whichever API gave it. */
export interface ChatAnswer extends Json {
  choices: { index: number; message: Message; finish_reason?: string | null; [field: string]: unknown }[]
  usage?: { prompt_tokens?: number; completion_tokens?: number; total_tokens?: number } | null
}

/** Asks a model and gives its whole answer. Throws ModelError. */
export async function callModel(call: ModelCall): Promise<ChatAnswer> {
  const response = await send(call, requestBody(call))
  let body: Json
  try {
    body = (await response.json()) as Json
  } catch (cause) {
    if (call.signal.aborted) throw call.signal.reason
    throw new ModelError({
      model: call.model,
      reason: `its answer is not JSON: ${failureText(cause)}`,
      cause,
    })
  }
  const choices = body.choices
  if (!Array.isArray(choices) || choices.length === 0)
    throw new ModelError({ model: call.model, reason: 'its answer has no choices' })
  return call.endpoint.mode === 'text' ? chatFromText(body) : (body as unknown as ChatAnswer)
}

/** Asks a model and gives the chunks of its answer, in the shape of chat chunks. Throws ModelError. */
export async function* streamModel(call: ModelCall): AsyncGenerator<Json> {
  const response = await send(call, { ...requestBody(call), stream: true })
  try {
    for await (const data of eventData(response.body)) {
      const chunk = JSON.parse(data) as Json
      if (chunk.error) {
        const reason = refusalText(response.status, JSON.stringify(chunk))
        throw new ModelError({ model: call.model, reason })
      }
      yield call.endpoint.mode === 'text' ? chunkFromText(chunk) : chunk
    }
  } catch (cause) {
    if (cause instanceof ModelError || call.signal.aborted) throw cause
    throw new ModelError({ model: call.model, reason: `its stream broke: ${failureText(cause)}`, cause })
  }
}

function requestBody({ endpoint, model, messages, parameters }: ModelCall): Json {
  const sampling = { ...endpoint.parameters, ...parameters }
  if (endpoint.mode === 'text') return { ...sampling, model, prompt: messages.map(messageText).join('\n') }
  return { ...sampling, model, messages }
}

async function send(call: ModelCall, body: Json): Promise<Response> {
  const { endpoint, model, signal } = call
  const path = endpoint.mode === 'text' ? '/completions' : '/chat/completions'
  return await postJson({ ...call, url: operationUrl(endpoint.url, path), body, model, signal })
}

/** Posts JSON to a model's server. Throws ModelError, or the signal's reason when it was aborted. */
export async function postJson(call: {
  url: string
  model: string
  body: Json
  key: string | undefined
  signal: AbortSignal
  fetch: typeof globalThis.fetch
}): Promise<Response> {
  const { url, model, key, signal } = call
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (key) headers.authorization = /^bearer /i.test(key) ? key : `Bearer ${key}`
  let response: Response
  try {
    response = await call.fetch(url, { method: 'POST', headers, body: JSON.stringify(call.body), signal })
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    throw new ModelError({ model, reason: failureText(cause), cause })
  }
  if (response.ok) return response
  const text = await response.text().catch(() => '')
  throw new ModelError({ model, status: response.status, reason: refusalText(response.status, text) })
}

/** Users write a base URL with and without `/v1`, and some with the whole path. */
export function operationUrl(base: string, path: string): string {
  const bare = base.replace(/\/(chat\/completions|completions|embeddings)$/, '')
  if (bare.endsWith(path)) return bare
  return (new URL(bare).pathname === '/' ? `${bare}/v1` : bare) + path
}

function chatFromText(body: Json): ChatAnswer {
  const choices = (body.choices as Json[]).map((choice, index) => {
    const { text, ...rest } = choice
    return { ...rest, index, message: { role: 'assistant', content: text } }
  })
  return { ...body, choices } as ChatAnswer
}

function chunkFromText(chunk: Json): Json {
  const choices = ((chunk.choices ?? []) as Json[]).map(({ text, ...rest }) => ({
    ...rest,
    delta: { content: text },
  }))
  return { ...chunk, choices }
}
