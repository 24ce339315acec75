// SPDX-License-Identifier: Apache-2.0
import { createServer } from 'node:http'
import type { Registry } from '@open-nemo/runtime/telemetry/metrics.ts'

/** Answers /healthz, /readyz and /metrics. Rejects when the port is taken. */
export async function serveHealth(options: {
  host: string
  port: number
  registry: Registry
  ready(): string | undefined
}): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname
    if (path === '/healthz') return response.end('ok\n')
    if (path === '/readyz') {
      const missing = options.ready()
      response.statusCode = missing ? 503 : 200
      return response.end(missing ? `${missing}\n` : 'ok\n')
    }
    if (path === '/metrics') {
      response.setHeader('content-type', options.registry.contentType)
      return response.end(await options.registry.metrics())
    }
    response.statusCode = 404
    return response.end('there are /healthz, /readyz and /metrics\n')
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, resolve)
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address ? address.port : options.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
