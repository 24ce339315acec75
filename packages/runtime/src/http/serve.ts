// SPDX-License-Identifier: Apache-2.0
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { getRequestListener } from '@hono/node-server'

export interface Listener {
  port: number
  url: string
  /** Stops accepting, lets requests in flight end for up to `graceMs`, then closes their connections. */
  close(graceMs?: number): Promise<void>
}

export type FetchHandler = (
  request: Request,
  env: { incoming: import('node:http').IncomingMessage; outgoing: import('node:http').ServerResponse },
) => Response | Promise<Response>

/** The port is taken, or may not be used. */
export class ListenError extends Error {
  override name = 'ListenError'
}

/** Serves a fetch handler on `host:port`; port 0 takes a free one. Throws ListenError naming the port. */
export async function serve(options: {
  fetch: FetchHandler
  host: string
  port: number
  /** The environment variable that sets this port, named in the error. */
  setting?: string
}): Promise<Listener> {
  const server = createServer(
    { requestTimeout: 0, keepAliveTimeout: 65_000, headersTimeout: 60_000, maxHeaderSize: 64 * 1024 },
    getRequestListener(options.fetch as never),
  )
  await new Promise<void>((resolve, reject) => {
    server.once('error', (err: NodeJS.ErrnoException) => reject(listenError(err, options)))
    server.listen({ host: options.host, port: options.port, backlog: 1024 }, resolve)
  })
  const { port } = server.address() as AddressInfo
  const host = options.host.includes(':') ? `[${options.host}]` : options.host
  return { port, url: `http://${host}:${port}`, close: (graceMs = 8000) => close(server, graceMs) }
}

function listenError(err: NodeJS.ErrnoException, options: { host: string; port: number; setting?: string }) {
  const where = `${options.host}:${options.port}`
  const change = options.setting ? `set ${options.setting} to another port` : 'choose another port'
  if (err.code === 'EADDRINUSE') return new ListenError(`${where} is in use by another program: ${change}`)
  if (err.code === 'EACCES') return new ListenError(`no permission to listen on ${where}: ${change}`)
  return new ListenError(`cannot listen on ${where}: ${err.message}`)
}

async function close(server: Server, graceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const timer = setTimeout(() => server.closeAllConnections(), graceMs)
  const idle = setInterval(() => server.closeIdleConnections(), 100)
  await closed
  clearTimeout(timer)
  clearInterval(idle)
}
