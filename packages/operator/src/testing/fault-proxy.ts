// SPDX-License-Identifier: Apache-2.0
import http, { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { Connection } from '../framework/connection.ts'

type Fault = (request: IncomingMessage) => { status: number; retryAfter?: number } | undefined

/**
 * Stands between an operator and an API server and makes trouble: answers that the server did not give, watches
 * that go silent while their connection stays, and connections that are refused.
 */
export class FaultProxy {
  /** Asked about each request; an answer is sent in the server's place. */
  fault: Fault = () => undefined
  /** What passed, with the server's answer once it is there. */
  readonly requests: { method: string; path: string; status?: number }[] = []
  readonly #upstream: Connection
  readonly #agent: http.Agent | https.Agent
  readonly #watches = new Set<{ silent: boolean; response: ServerResponse }>()
  #server: http.Server | undefined
  #port = 0

  constructor(upstream: Connection) {
    this.#upstream = upstream
    this.#agent = upstream.server.startsWith('https:')
      ? new https.Agent({ keepAlive: true, ...upstream.tls })
      : new http.Agent({ keepAlive: true })
  }

  /** Listens; a second start comes back at the same address. */
  async start(): Promise<Connection> {
    const server = createServer((request, response) => {
      this.#pass(request, response).catch(() => response.destroy())
    })
    this.#server = server
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve))
    const address = server.address()
    this.#port = typeof address === 'object' && address ? address.port : 0
    return {
      server: `http://127.0.0.1:${this.#port}`,
      namespace: this.#upstream.namespace,
      tls: {},
      headers: async () => ({}),
    }
  }

  /** Refuses connections and breaks those that are open, as an API server that ended. */
  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    server?.closeAllConnections()
    if (server) await new Promise((resolve) => server.close(resolve))
  }

  /** From now on the watches that are open deliver nothing, and never end. New ones work. */
  silenceWatches(): number {
    for (const watch of this.#watches) watch.silent = true
    return this.#watches.size
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? '/'
    const seen: FaultProxy['requests'][number] = { method: request.method ?? 'GET', path }
    this.requests.push(seen)
    const fault = this.fault(request)
    if (fault) {
      const headers = fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) }
      response.writeHead(fault.status, headers)
      response.end(JSON.stringify({ reason: `Injected${fault.status}`, message: 'injected' }))
      return
    }
    const watch = { silent: false, response }
    const isWatch = new URL(path, 'http://x').searchParams.has('watch')
    if (isWatch) this.#watches.add(watch)
    const { host: _, connection: __, ...headers } = request.headers
    const transport = this.#upstream.server.startsWith('https:') ? https : http
    const passed = transport.request(this.#upstream.server + path, {
      method: request.method,
      headers: { ...headers, ...(await this.#upstream.headers()) },
      agent: this.#agent,
    })
    passed.on('error', () => response.destroy())
    response.on('close', () => {
      this.#watches.delete(watch)
      passed.destroy()
    })
    passed.on('response', (from) => {
      seen.status = from.statusCode
      response.writeHead(from.statusCode ?? 502, from.headers)
      response.flushHeaders()
      from.on('data', (chunk) => !watch.silent && response.write(chunk))
      from.on('end', () => !watch.silent && response.end())
      from.on('error', () => response.destroy())
    })
    request.pipe(passed)
  }

  /** Closes its own connections to the server. */
  close(): void {
    this.#agent.destroy()
  }
}
