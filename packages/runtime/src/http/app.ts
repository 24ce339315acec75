// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import { platformErrors } from '@open-nemo/contract/platform/errors.ts'
import { type Context, Hono } from 'hono'
import { carrierOf, serverSpan } from '../telemetry/http-spans.ts'
import type { Logger } from '../telemetry/log.ts'
import { type Registry, requestDuration } from '../telemetry/metrics.ts'
import { tracing } from '../telemetry/tracing.ts'
import { type ErrorStyle, errorResponse } from './error-response.ts'
import { openApiDocument } from './openapi.ts'
import type { RouteInfo } from './route.ts'

export interface AppEnv {
  Variables: { requestId: string; route: string }
  Bindings: { incoming?: import('node:http').IncomingMessage; outgoing?: import('node:http').ServerResponse }
}

/** An HTTP application of one service, with what route() and the OpenAPI document need to know of it. */
export type App = Hono<AppEnv> & { meta: AppMeta }

export interface AppMeta {
  name: string
  errorStyle: ErrorStyle
  log: Logger
  routes: RouteInfo[]
}

export interface AppOptions {
  name: string
  title?: string
  version?: string
  log: Logger
  metrics: Registry
  errorStyle?: ErrorStyle
  /** Whether the service can do its work now; `false` answers 503 on the ready paths. */
  ready?: () => Promise<boolean> | boolean
  /** Set when the service answers its own health paths (a NIM's have their own shape). */
  ownHealth?: boolean
}

const REQUEST_ID = /^[\w.:-]{1,128}$/

/** Makes a service's application: request ids, logs, metrics, errors, health, metrics and OpenAPI paths. */
export function createApp(options: AppOptions): App {
  const app = new Hono<AppEnv>({ strict: false }) as App
  const errorStyle = options.errorStyle ?? 'fastapi'
  app.meta = { name: options.name, errorStyle, log: options.log, routes: [] }
  const durations = requestDuration(options.metrics)

  app.use(async function observe(c, next) {
    const start = performance.now()
    const given = c.req.header('x-request-id')
    const requestId = given && REQUEST_ID.test(given) ? given : randomUUID()
    c.set('requestId', requestId)
    await (tracing() ? traced(options.name, c, next) : next())
    c.res.headers.set('x-request-id', requestId)
    const seconds = (performance.now() - start) / 1000
    const route = c.get('route') ?? 'none'
    durations.observe({ service: options.name, method: c.req.method, route, status: c.res.status }, seconds)
    // 503 is said on purpose, while something starts or is full.
    const level = c.res.status >= 500 && c.res.status !== 503 ? 'error' : 'debug'
    options.log[level](
      {
        requestId,
        method: c.req.method,
        path: c.req.path,
        status: c.res.status,
        ms: Math.round(seconds * 1e3),
      },
      'request',
    )
  })

  app.onError((err, c) => {
    const { response, unexpected } = errorResponse(err, errorStyle, c.get('requestId'))
    if (unexpected)
      options.log.error({ err, requestId: c.get('requestId'), path: c.req.path }, 'unexpected error')
    return response
  })
  app.notFound((c) => unknownPath(app.meta, c.req.method, c.req.path))

  if (!options.ownHealth) mountHealth(app, options)
  app.get('/metrics', async (c) =>
    c.text(await options.metrics.metrics(), 200, { 'content-type': options.metrics.contentType }),
  )
  app.get('/openapi.json', (c) => c.json(openApiDocument(app.meta.routes, options)))
  return app
}

/** Runs the handlers of a request in its span. */
async function traced(service: string, c: Context<AppEnv>, next: () => Promise<void>): Promise<void> {
  const { method } = c.req
  const call = {
    service,
    method,
    url: new URL(c.req.url),
    name: method,
    parent: carrierOf(c.req.raw.headers),
  }
  const answer = await serverSpan(call, async (span) => {
    await next()
    const route = c.get('route')
    if (route) span?.rename(`${method} ${route}`)
    span?.set({ 'http.route': route, 'nemo.request_id': c.get('requestId') })
    return c.res
  })
  if (answer !== c.res) c.res = answer
}

function mountHealth(app: App, options: AppOptions): void {
  const live = { status: 'healthy' }
  for (const path of ['/health', '/v1/health', '/v1/health/live']) {
    app.get(path, (c) => c.json({ ...live, timestamp: new Date().toISOString() }))
  }
  app.get('/v1/health/ready', async (c) => {
    const ready = (await options.ready?.()) ?? true
    return c.json({ status: ready ? 'ready' : 'starting' }, ready ? 200 : 503)
  })
}

/** 405 when the path is known with another method, as FastAPI does; else 404. */
function unknownPath(meta: AppMeta, method: string, path: string): Response {
  const methods = meta.routes.filter((r) => r.pattern.test(path)).map((r): string => r.method)
  const allowed = [...new Set(methods)].join(', ')
  const err =
    allowed && !methods.includes(method)
      ? platformErrors.METHOD_NOT_ALLOWED({ method, path, allowed }).with({ allow: allowed })
      : platformErrors.PATH_NOT_FOUND({ service: meta.name, method, path })
  return errorResponse(err, meta.errorStyle, undefined).response
}
