// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { type Carrier, tracing } from '@open-nemo/runtime'
import { hostRole } from '@open-nemo/runtime/gateway/table.ts'
import { clientSpan } from '@open-nemo/runtime/telemetry/http-spans.ts'
import { Agent, EnvHttpProxyAgent } from 'undici'
import { exchange } from './exchange.ts'

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

/** Headers of an answer that mean something to the caller; the rest is between us and the upstream. */
export const PASSED = ['content-type', 'retry-after', 'x-should-retry', 'x-request-id']
/** A server that is being started again refuses connections for a moment. */
const CONNECT_TRIES = 3
const RETRY_MS = 100
/** Failures before a connection is there: nothing was sent, so that nothing is done twice. */
const BEFORE_SENDING = new Set(['ECONNREFUSED', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ECONNABORTED'])
const CONNECT_MS = 30_000
/** Idle connections are closed before common servers do it (5 s), so that none is used in the moment it goes. */
const IDLE_MS = 4000
const MOST_CONNECTIONS = 1024

/**
 * A transport with connections that are kept and used again. Hosts of the platform itself are reached by `inner`.
 * What fails while connecting is tried again; what was sent is not.
 */
export function createTransport(inner: typeof globalThis.fetch): Transport & { close(): void } {
  // As Node's own fetch: HTTP_PROXY, HTTPS_PROXY and NO_PROXY count where Node is told to read them.
  const Connections = process.env.NODE_USE_ENV_PROXY === '1' ? EnvHttpProxyAgent : Agent
  const agent = new Connections({
    connections: MOST_CONNECTIONS,
    allowH2: false,
    connect: { timeout: CONNECT_MS },
    keepAliveTimeout: IDLE_MS,
    // A model may think for as long as it likes.
    headersTimeout: 0,
    bodyTimeout: 0,
  })

  const transport = async (outgoing: Outgoing): Promise<Answer> => {
    const { url, headers, body, signal } = outgoing
    const target = new URL(url)
    if (hostRole(target.hostname) !== undefined) return inner(url, { method: 'POST', headers, body, signal })
    if (!tracing()) return await post(target, outgoing)
    const withContext = async (context: Carrier) =>
      toResponse(await post(target, { ...outgoing, headers: { ...headers, ...context } }))
    return await clientSpan({ method: 'POST', url: target }, withContext)
  }
  const post = async (target: URL, outgoing: Outgoing): Promise<Answer> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await exchange(agent, target, outgoing)
      } catch (err) {
        const code = (err as NodeJS.ErrnoException).code ?? ''
        const { signal } = outgoing
        if (signal.aborted || attempt >= CONNECT_TRIES || !BEFORE_SENDING.has(code)) throw err
        await sleep(RETRY_MS * attempt, undefined, { signal })
      }
    }
  }
  return Object.assign(transport, { close: () => void agent.destroy() })
}

/** The same as the response that spans are told of. */
function toResponse({ status, headers, body }: Answer): Response {
  const passed = PASSED.flatMap((name): [string, string][] => {
    const value = headers.get(name)
    return value === null ? [] : [[name, value]]
  })
  return new Response(body, { status, headers: passed })
}
