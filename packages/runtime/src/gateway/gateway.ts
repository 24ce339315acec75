// SPDX-License-Identifier: Apache-2.0
import type { ServiceName } from '@open-nemo/contract'
import { platformErrors } from '@open-nemo/contract/platform/errors.ts'
import type { App, AppEnv } from '../http/app.ts'
import { errorResponse } from '../http/error-response.ts'
import { carrierOf, serverSpan, tracedFetch } from '../telemetry/http-spans.ts'
import { tracing } from '../telemetry/tracing.ts'
import { type Destination, destination, hostRole, type PortRole } from './table.ts'

/** An app, or why there is none yet. */
export type Slot = App | 'starting' | 'absent'

export interface GatewayOptions {
  /** The service's app as it stands now; it may still be starting. */
  slot(service: ServiceName): Slot
  /** Answers what no service claims: health, metrics, documents. */
  platform: App
  /** Why a request is not let in now, such as a disk that is full. */
  refusal?: (method: string) => Error | undefined
}

type Bindings = AppEnv['Bindings']

/** Routes requests to services in this process. */
export interface Gateway {
  /** Handles a request that came in by a port of role `port`. */
  handle(port: PortRole, request: Request, env?: Bindings): Response | Promise<Response>
}

/** Makes the gateway of the embedded platform: one table of hosts, ports and paths before the services. */
export function createGateway(options: GatewayOptions): Gateway {
  function handle(port: PortRole, request: Request, env: Bindings = {}): Response | Promise<Response> {
    const url = new URL(request.url)
    const { method } = request
    const to = destination({ host: url.hostname, port, method, path: url.pathname })
    if (!tracing()) return forward(to, url, request, env)
    const call = {
      service: 'gateway',
      method,
      url,
      name: `${method} ${to.service}`,
      parent: carrierOf(request.headers),
    }
    return serverSpan(call, () => forward(to, url, request, env))
  }
  function forward(to: Destination, url: URL, request: Request, env: Bindings): Response | Promise<Response> {
    const refusal = options.refusal?.(request.method)
    if (refusal) return errorResponse(refusal, 'fastapi', undefined).response
    const app = to.service === 'platform' ? options.platform : options.slot(to.service)
    if (app === 'starting') {
      const err = platformErrors.SERVICE_STARTING({ service: to.service }).with({ 'retry-after': '1' })
      return errorResponse(err, 'fastapi', undefined).response
    }
    if (app === 'absent') {
      const err = platformErrors.SERVICE_NOT_PRESENT({ service: to.service, path: url.pathname })
      return errorResponse(err.with({ 'x-should-retry': 'false' }), 'fastapi', undefined).response
    }
    if (to.path === url.pathname) return app.fetch(request, env)
    url.pathname = to.path
    return app.fetch(new Request(url, request), env)
  }
  return { handle }
}

/**
 * A fetch for services: our own host names are answered by `inner` (in memory, or by the URLs of the pods)
 * without DNS; all others go out. Streams both ways.
 */
export function createPlatformFetch(
  inner: (role: PortRole, request: Request) => Response | Promise<Response>,
) {
  return tracedFetch(async function platformFetch(input: string | URL | Request, init?: RequestInit) {
    const url = new URL(input instanceof Request ? input.url : input)
    const role = hostRole(url.hostname)
    if (role === undefined) return fetch(input, init)
    const streaming = init?.body instanceof ReadableStream ? { duplex: 'half' as const } : {}
    const request = new Request(input, { ...init, ...streaming } as RequestInit)
    return inner(role, request)
  } as typeof globalThis.fetch)
}

/** For a service in a pod: sends requests for our host names to the configured URL of each service. */
export function forwardTo(urls: Record<ServiceName, string>) {
  return async (role: PortRole, request: Request): Promise<Response> => {
    const url = new URL(request.url)
    const to = destination({ host: url.hostname, port: role, method: request.method, path: url.pathname })
    if (to.service === 'platform') return fetch(request)
    const base = new URL(urls[to.service])
    const target = new URL(to.path + url.search, base)
    return fetch(new Request(target, request))
  }
}
