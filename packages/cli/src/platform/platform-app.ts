// SPDX-License-Identifier: Apache-2.0
import type { ServiceName } from '@open-nemo/contract'
import {
  type App,
  createApp,
  type Logger,
  openApiDocument,
  type Registry,
  type Slot,
} from '@open-nemo/runtime'

/** What the platform's own pages show of a service. */
export interface ServiceState {
  slot: Slot
  ready: () => Promise<boolean>
}

/**
 * The platform's own paths: `/health` with every service's state, readiness, one OpenAPI document per service.
 */
export function createPlatformApp(options: {
  log: Logger
  metrics: Registry
  states: ReadonlyMap<ServiceName, ServiceState>
}): App {
  const { states } = options
  const app = createApp({ name: 'platform', log: options.log, metrics: options.metrics, ownHealth: true })

  const report = async () => {
    const entries = await Promise.all(
      [...states].map(async ([name, state]) => [name, await describe(state)] as const),
    )
    const services = Object.fromEntries(entries)
    const answering = [...states.values()].every((s) => typeof s.slot !== 'string')
    return { answering, services, ready: entries.every(([, s]) => s === 'ready') }
  }
  for (const path of ['/health', '/v1/health', '/v1/health/live']) {
    app.get(path, async (c) => {
      const { answering, services } = await report()
      const status = answering ? 'healthy' : 'starting'
      return c.json({ status, services, timestamp: new Date().toISOString() }, answering ? 200 : 503)
    })
  }
  app.get('/v1/health/ready', async (c) => {
    const { ready, services } = await report()
    return c.json({ status: ready ? 'ready' : 'starting', services }, ready ? 200 : 503)
  })
  app.get('/', (c) =>
    c.json({
      name: 'Open NeMo Microservices',
      services: [...states.keys()],
      health: '/health',
      documents: '/openapi',
    }),
  )
  app.get('/openapi', (c) => c.json({ documents: [...states.keys()].map((name) => `/openapi/${name}.json`) }))
  app.get('/openapi/:file', (c) => {
    const name = c.req.param('file').replace(/\.json$/, '') as ServiceName
    const slot = states.get(name)?.slot
    if (slot === undefined || typeof slot === 'string') return c.notFound()
    return c.json(openApiDocument(slot.meta.routes, { name }))
  })
  return app
}

async function describe(state: ServiceState): Promise<string> {
  if (typeof state.slot === 'string') return state.slot
  return (await state.ready()) ? 'ready' : 'loading'
}
