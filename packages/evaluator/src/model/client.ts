// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { inSpan } from '@open-nemo/runtime'
import { countRetry, sampleOfNow } from '../runner/meter.ts'
import { createLimiter } from './limiter.ts'
import type { Endpoint } from './resolve.ts'
import { type ChatMessage, type ModelAnswer, type ModelClient, ModelError, type Operation } from './types.ts'

export interface ClientOptions {
  fetch: typeof globalThis.fetch
  signal: AbortSignal
  /** Requests at one time; the others wait. */
  parallelism: number
  requestTimeoutMs: number
  maxRetries: number
  log: (message: string) => void
  redact: (text: string) => string
  /** First pause before a request is sent again; it doubles from time to time. */
  backoffMs?: number
}

const MAX_PAUSE_MS = 30_000
const ERROR_TEXT = 500

/** A client of one OpenAI-compatible endpoint. Failures are ModelErrors without secrets. */
export function createModelClient(endpoint: Endpoint, options: ClientOptions): ModelClient {
  const limit = createLimiter(options.parallelism)
  const at = splitUrl(endpoint.url)
  const url = (operation: Operation) => operationUrl(endpoint.url, operation)
  const headers: Record<string, string> = { 'content-type': 'application/json', accept: 'application/json' }
  const key = endpoint.apiKey ?? at.password
  if (key) headers.authorization = `Bearer ${key}`
  /** One span for a request and what is sent again of it. */
  const spanned = <T>(operation: Operation, work: () => Promise<T>) => {
    const attributes = { 'gen_ai.request.model': endpoint.modelId, 'nemo.sample': sampleOfNow() }
    return inSpan({ name: `${operation} ${endpoint.modelId}`, attributes }, work)
  }
  const post = (operation: Operation, body: Record<string, unknown>) =>
    limit(() => {
      const text = JSON.stringify({ model: endpoint.modelId, ...body })
      const init = { method: 'POST', headers, body: text }
      return spanned(operation, () => send(at.clean(url(operation)), init, options))
    })
  return {
    modelId: endpoint.modelId,
    given: at.clean(endpoint.url),
    url: (operation) => at.clean(url(operation)),
    post,
    get: (operation) => {
      const address = at.clean(url(operation))
      const query = `${address.includes('?') ? '&' : '?'}model=${encodeURIComponent(endpoint.modelId)}`
      return limit(() => spanned(operation, () => send(address + query, { method: 'GET', headers }, options)))
    },
    async chat(body) {
      const response = await post('chat/completions', body)
      const message = (firstChoice(response).message ?? {}) as ChatMessage
      return { text: textOf(message.content), message, response } satisfies ModelAnswer
    },
    async complete(body) {
      const response = await post('completions', body)
      return { text: textOf(firstChoice(response).text), response }
    },
    async embed(texts, inputType) {
      const response = await post('embeddings', {
        input: texts,
        ...(inputType ? { input_type: inputType, truncate: 'END' } : {}),
      })
      const data = response.data as { index?: number; embedding: number[] }[] | undefined
      if (!Array.isArray(data) || data.length !== texts.length) {
        throw new ModelError(
          `${at.clean(url('embeddings'))} gave ${data?.length ?? 0} vectors for ${texts.length} texts`,
        )
      }
      const vectors: number[][] = []
      data.forEach((one, i) => {
        vectors[one.index ?? i] = one.embedding
      })
      return vectors
    },
  }
}

/** The URL of an operation, from a base URL (`…/v1`, or bare) or the full URL of some operation. */
export function operationUrl(given: string, operation: Operation): string {
  const known = /\/(chat\/completions|completions|embeddings|ranking|reranking)\/?$/
  const [path = '', query] = given.split('?', 2)
  const bare = path.replace(/\/+$/, '')
  const versioned = known.test(bare) ? bare.replace(known, '') : withVersion(bare)
  // vLLM's tokenizer is beside its /v1.
  const base = operation.includes('token') ? versioned.replace(/\/v1$/, '') : versioned
  return `${base}/${operation}${query === undefined ? '' : `?${query}`}`
}

/** A bare origin gets `/v1`; any other path is taken for the base that its owner meant. */
function withVersion(base: string): string {
  return /^https?:\/\/[^/]+$/i.test(base) ? `${base}/v1` : base
}

/** User and password in a URL: fetch refuses them, and a NIM takes a key as a bearer token. */
function splitUrl(given: string): { password: string | undefined; clean: (url: string) => string } {
  const password = URL.canParse(given) ? new URL(given).password : ''
  return {
    password: password ? decodeURIComponent(password) : undefined,
    clean: (url) => url.replace(/^(https?:\/\/)[^/?#]*@/i, '$1'),
  }
}

async function send(
  url: string,
  init: RequestInit,
  options: ClientOptions,
): Promise<Record<string, unknown>> {
  for (let attempt = 0; ; attempt++) {
    options.signal.throwIfAborted()
    const tried = await attemptOnce(url, init, options)
    if ('answer' in tried) return tried.answer
    if (!tried.isPassing || attempt >= options.maxRetries) {
      const times = attempt > 0 ? ` (sent ${attempt + 1} times)` : ''
      throw new ModelError(options.redact(`${tried.message}${times}`), tried.status)
    }
    countRetry()
    const pause = pauseOf(attempt, tried.retryAfterMs, options.backoffMs ?? 500)
    options.log(`${options.redact(tried.message)}; sent again in ${Math.round(pause)} ms`)
    await sleep(pause, undefined, { signal: options.signal })
  }
}

type Attempt =
  | { answer: Record<string, unknown> }
  | { message: string; isPassing: boolean; status?: number; retryAfterMs?: number }

async function attemptOnce(url: string, init: RequestInit, options: ClientOptions): Promise<Attempt> {
  const timeout = AbortSignal.timeout(options.requestTimeoutMs)
  const signal = AbortSignal.any([options.signal, timeout])
  try {
    const response = await raced(options.fetch(url, { ...init, signal }), signal)
    const text = await raced(response.text(), signal)
    if (!response.ok) {
      return {
        message: `${init.method} ${url} answered ${response.status}: ${text.slice(0, ERROR_TEXT)}`,
        isPassing: response.status === 429 || response.status === 408 || response.status >= 500,
        status: response.status,
        retryAfterMs: retryAfter(response.headers.get('retry-after')),
      }
    }
    return { answer: JSON.parse(text) as Record<string, unknown> }
  } catch (err) {
    if (options.signal.aborted) throw options.signal.reason
    if (timeout.aborted) {
      return {
        message: `${init.method} ${url} did not answer within ${options.requestTimeoutMs / 1000} s`,
        isPassing: true,
      }
    }
    if (err instanceof SyntaxError)
      return { message: `${init.method} ${url} did not answer JSON`, isPassing: false }
    return { message: `${init.method} ${url} failed: ${reasonOf(err)}`, isPassing: true }
  }
}

/** An answer from within this process does not hear of the signal by itself. */
async function raced<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  let stop = () => {}
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([work, stopped])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function pauseOf(attempt: number, asked: number | undefined, first: number): number {
  const doubled = first * 2 ** attempt * (0.75 + Math.random() / 2)
  return Math.min(MAX_PAUSE_MS, Math.max(asked ?? 0, doubled))
}

function retryAfter(header: string | null): number | undefined {
  if (!header) return undefined
  const seconds = Number(header)
  const ms = Number.isNaN(seconds) ? Date.parse(header) - Date.now() : seconds * 1000
  return Number.isNaN(ms) ? undefined : Math.max(0, ms)
}

function reasonOf(err: unknown): string {
  if (!(err instanceof Error)) return String(err)
  const cause = err.cause instanceof Error ? err.cause.message : ''
  return cause ? `${err.message} (${cause})` : err.message
}

function firstChoice(response: Record<string, unknown>): Record<string, unknown> {
  const choices = response.choices
  const first = Array.isArray(choices) ? choices[0] : undefined
  if (typeof first !== 'object' || first === null) throw new ModelError('the model answered without choices')
  return first as Record<string, unknown>
}

function textOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.map((part) => (typeof part?.text === 'string' ? part.text : '')).join('')
}
