// SPDX-License-Identifier: Apache-2.0
import {
  Agent as HttpAgent,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Carrier, tracing } from '@open-nemo/runtime'
import { hostRole } from '@open-nemo/runtime/gateway/table.ts'
import { clientSpan } from '@open-nemo/runtime/telemetry/http-spans.ts'

/** One request to an upstream. */
export interface Outgoing {
  url: string
  headers: Record<string, string>
  body: string
  signal: AbortSignal
}

/** What came back. A body that is here as bytes costs a server less to send on than a stream. */
export interface Answer {
  status: number
  headers: { get(name: string): string | null }
  body: BodyInit | null
}

/** Sends requests to upstreams and gives their answers as they come. */
export type Transport = (outgoing: Outgoing) => Promise<Answer>

/** A server that is being started again refuses connections for a moment. */
const CONNECT_TRIES = 3
const RETRY_MS = 100
/** Failures before a connection is there: nothing was sent, so that nothing is done twice. */
const BEFORE_SENDING = new Set(['ECONNREFUSED', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ECONNABORTED'])
/** Headers of an answer that mean something to the caller; the rest is between us and the upstream. */
export const PASSED = ['content-type', 'retry-after', 'x-should-retry', 'x-request-id']
const NO_BODY = new Set([204, 205, 304])
const BROKEN_OFF = 'the upstream broke off its answer'
/** Answers up to this size are sent on whole. */
const WHOLE_BYTES = 1024 * 1024

/**
 * A transport with connections that are kept and used again. Hosts of the platform itself are reached by `inner`.
 * What fails while connecting is tried again; what was sent is not.
 */
export function createTransport(inner: typeof globalThis.fetch): Transport & { close(): void } {
  const pool = { keepAlive: true, maxSockets: 1024, maxFreeSockets: 256, scheduling: 'lifo' } as const
  const agents = { http: new HttpAgent(pool), https: new HttpsAgent(pool) }

  const transport = async (outgoing: Outgoing): Promise<Answer> => {
    const { url, headers, body, signal } = outgoing
    const target = new URL(url)
    if (hostRole(target.hostname) !== undefined) return inner(url, { method: 'POST', headers, body, signal })
    if (!tracing()) return await post(target, outgoing)
    const withContext = async (context: Carrier) =>
      toResponse(await post(target, { ...outgoing, headers: { ...headers, ...context } }))
    return await clientSpan({ method: 'POST', url: target }, withContext)
  }
  const post = async (target: URL, { headers, body, signal }: Outgoing): Promise<Answer> => {
    const secure = target.protocol === 'https:'
    const agent = secure ? agents.https : agents.http
    const length = String(Buffer.byteLength(body))
    const options = { method: 'POST', agent, signal, headers: { ...headers, 'content-length': length } }
    for (let attempt = 1; ; attempt++) {
      try {
        return await toAnswer(await send(target, options, body, secure))
      } catch (err) {
        const code = (err as NodeJS.ErrnoException).code ?? ''
        if (signal.aborted || attempt >= CONNECT_TRIES || !BEFORE_SENDING.has(code)) throw err
        await sleep(RETRY_MS * attempt, undefined, { signal })
      }
    }
  }
  const close = () => {
    agents.http.destroy()
    agents.https.destroy()
  }
  return Object.assign(transport, { close })
}

function send(target: URL, options: RequestOptions, body: string, secure: boolean): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = (secure ? httpsRequest : httpRequest)(target, options, resolve)
    request.once('error', reject)
    request.end(body)
  })
}

async function toAnswer(message: IncomingMessage): Promise<Answer> {
  const headers = {
    get: (name: string) => {
      const value = message.headers[name]
      return typeof value === 'string' ? value : null
    },
  }
  const status = message.statusCode ?? 502
  const length = Number(message.headers['content-length'] ?? Number.NaN)
  if (!(length <= WHOLE_BYTES)) return { status, headers, body: streamOf(message) }
  const bytes = await wholeOf(message)
  return { status, headers, body: NO_BODY.has(status) ? null : bytes }
}

/** The same as the response that spans are told of. */
function toResponse({ status, headers, body }: Answer): Response {
  const passed = PASSED.flatMap((name): [string, string][] => {
    const value = headers.get(name)
    return value === null ? [] : [[name, value]]
  })
  return new Response(body, { status, headers: passed })
}

function wholeOf(message: IncomingMessage): Promise<Buffer<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    message.on('data', (chunk: Buffer) => chunks.push(chunk))
    message.once('end', () => resolve(Buffer.concat(chunks)))
    message.once('error', reject)
    message.once('aborted', () => reject(new Error(BROKEN_OFF)))
  })
}

function streamOf(message: IncomingMessage): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      message.on('data', (chunk: Buffer) => {
        controller.enqueue(chunk)
        if ((controller.desiredSize ?? 1) <= 0) message.pause()
      })
      message.once('end', () => controller.close())
      message.once('error', (err) => controller.error(err))
      message.once('aborted', () => controller.error(new Error(BROKEN_OFF)))
    },
    pull: () => void message.resume(),
    cancel: () => void message.destroy(),
  })
}
