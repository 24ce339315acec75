// SPDX-License-Identifier: Apache-2.0
import http from 'node:http'
import https from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from './connection.ts'

/** An answer of the API server that is no success, or none at all (`status` 0). */
export class KubeError extends Error {
  readonly status: number
  readonly reason: string
  readonly retryAfterMs: number | undefined

  constructor(args: { status: number; reason: string; message: string; retryAfterMs?: number }) {
    super(args.message)
    this.name = 'KubeError'
    this.status = args.status
    this.reason = args.reason
    this.retryAfterMs = args.retryAfterMs
  }

  /** Whether the same request may succeed later without anybody changing anything. */
  get transient(): boolean {
    return this.status === 0 || this.status === 409 || this.status === 429 || this.status >= 500
  }
}

export const isStatus = (err: unknown, ...codes: number[]): err is KubeError =>
  err instanceof KubeError && codes.includes(err.status)

export interface KubeRequest {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  path: string
  query?: Record<string, string | number | boolean | undefined>
  body?: unknown
  contentType?: string
  signal?: AbortSignal
  timeoutMs?: number
}

export interface WatchLine {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR'
  // biome-ignore lint/suspicious/noExplicitAny: the API server's JSON; the cache gives it a type.
  object: any
}

const REQUEST_TIMEOUT_MS = 15_000
const THROTTLE_TRIES = 4
const THROTTLE_MAX_MS = 5_000

/** A thin client for the Kubernetes API: plain JSON in and out, and no generated models, which cost memory. */
export class KubeClient {
  readonly connection: Connection
  /** Told of every answer, for metrics; code 0 is a connection that failed. */
  onAnswer: (method: string, code: number) => void = () => undefined
  readonly #agent: http.Agent
  readonly #watchAgent: http.Agent
  readonly #transport: typeof https | typeof http

  constructor(connection: Connection) {
    this.connection = connection
    const secure = connection.server.startsWith('https:')
    this.#transport = secure ? https : http
    const make = (maxSockets: number) => {
      const options = { keepAlive: true, maxSockets, scheduling: 'lifo' as const }
      return secure ? new https.Agent({ ...options, ...connection.tls }) : new http.Agent(options)
    }
    this.#agent = make(16)
    // A watch holds its connection, so watches never share the pool that requests wait for.
    this.#watchAgent = make(Number.POSITIVE_INFINITY)
  }

  /** Sends a request and gives the JSON of its answer. Throws KubeError; 429 is waited out and tried again. */
  // biome-ignore lint/suspicious/noExplicitAny: the API server's JSON, whose type only the caller knows.
  async request(request: KubeRequest): Promise<any> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#once(request)
      } catch (err) {
        if (!isStatus(err, 429) || attempt === THROTTLE_TRIES) throw err
        await sleep(Math.min(err.retryAfterMs ?? 500 * attempt, THROTTLE_MAX_MS), undefined, {
          signal: request.signal,
        })
      }
    }
  }

  async #once(request: KubeRequest): Promise<unknown> {
    const limit = limited(request.timeoutMs ?? REQUEST_TIMEOUT_MS, request.signal)
    try {
      const response = await this.#send(request, limit.signal, this.#agent)
      const text = await readAll(response)
      const code = response.statusCode ?? 0
      this.onAnswer(request.method ?? 'GET', code)
      if (code >= 200 && code < 300) return text ? JSON.parse(text) : undefined
      throw failure(request, response, text)
    } finally {
      limit.done()
    }
  }

  /**
   * Follows a watch until the server ends it, and calls `onLine` for each event. Throws KubeError when it cannot
   * start or ends by an error, and when it lasts longer than `deadlineMs`: then nobody is at the other end.
   */
  async watch(request: KubeRequest, deadlineMs: number, onLine: (line: WatchLine) => void): Promise<void> {
    const limit = limited(deadlineMs, request.signal)
    const stopped = () => new Error(request.signal?.aborted ? 'stopped' : 'the watch went silent')
    let response: http.IncomingMessage | undefined
    try {
      response = await this.#send(request, limit.signal, this.#watchAgent)
      const code = response.statusCode ?? 0
      this.onAnswer('WATCH', code)
      if (code !== 200) throw failure(request, response, await readAll(response))
      for await (const line of linesOf(response)) onLine(parseLine(line))
      if (limit.signal.aborted) throw stopped()
    } catch (err) {
      throw err instanceof KubeError ? err : unreachable(request, limit.signal.aborted ? stopped() : err)
    } finally {
      limit.done()
      response?.destroy()
    }
  }

  /** Closes the connections that are kept. */
  close(): void {
    this.#agent.destroy()
    this.#watchAgent.destroy()
  }

  async #send(request: KubeRequest, signal: AbortSignal, agent: http.Agent): Promise<http.IncomingMessage> {
    const url = new URL(this.connection.server + request.path)
    for (const [key, value] of Object.entries(request.query ?? {}))
      if (value !== undefined) url.searchParams.set(key, String(value))
    const body = request.body === undefined ? undefined : JSON.stringify(request.body)
    const headers: Record<string, string> = {
      accept: 'application/json',
      'user-agent': 'open-nemo-operator',
      ...(await this.connection.headers()),
    }
    if (body !== undefined) {
      headers['content-type'] = request.contentType ?? 'application/json'
      // Node gives a DELETE no length by itself, and the next request on the connection would be read as its body.
      headers['content-length'] = String(Buffer.byteLength(body))
    }
    try {
      return await new Promise((resolve, reject) => {
        const sent = this.#transport.request(url, { method: request.method ?? 'GET', headers, agent, signal })
        sent.on('response', resolve)
        sent.on('error', reject)
        sent.end(body)
      })
    } catch (err) {
      this.onAnswer(request.method ?? 'GET', 0)
      throw unreachable(request, err)
    }
  }
}

function parseLine(line: string): WatchLine {
  try {
    return JSON.parse(line)
  } catch {
    throw new KubeError({ status: 0, reason: 'BadWatch', message: 'the watch broke off inside an event' })
  }
}

async function readAll(response: http.IncomingMessage): Promise<string> {
  try {
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks).toString('utf8')
  } catch (err) {
    throw unreachable({ path: response.url ?? '' }, err)
  }
}

async function* linesOf(response: http.IncomingMessage): AsyncGenerator<string> {
  response.setEncoding('utf8')
  let rest = ''
  for await (const chunk of response) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line) yield line
  }
  if (rest) yield rest
}

/** A signal that aborts after a time or with another one. `AbortSignal.any` costs much more for each request. */
function limited(ms: number, outer: AbortSignal | undefined): { signal: AbortSignal; done(): void } {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new Error(`no answer within ${ms} ms`)), ms)
  const stop = () => controller.abort(outer?.reason)
  if (outer?.aborted) stop()
  else outer?.addEventListener('abort', stop, { once: true })
  return {
    signal: controller.signal,
    done() {
      clearTimeout(timer)
      outer?.removeEventListener('abort', stop)
    },
  }
}

function failure(request: KubeRequest, response: http.IncomingMessage, text: string): KubeError {
  const after = Number(response.headers['retry-after'])
  const retryAfterMs = Number.isFinite(after) && response.headers['retry-after'] ? after * 1000 : undefined
  let said: { reason?: string; message?: string } = {}
  try {
    said = JSON.parse(text)
  } catch {
    // A proxy's answer: its text says it.
  }
  const status = response.statusCode ?? 0
  return new KubeError({
    status,
    reason: said.reason ?? `HTTP${status}`,
    message:
      said.message ?? `${request.method ?? 'GET'} ${request.path} answered ${status}: ${text.slice(0, 300)}`,
    retryAfterMs,
  })
}

const unreachable = (request: KubeRequest, err: unknown) =>
  err instanceof KubeError
    ? err
    : new KubeError({
        status: 0,
        reason: 'Unreachable',
        message: `${request.method ?? 'GET'} ${request.path}: ${err instanceof Error ? err.message : String(err)}`,
      })
