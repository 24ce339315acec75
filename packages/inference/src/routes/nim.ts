// SPDX-License-Identifier: Apache-2.0
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import { servedModel, servedModelList } from '@open-nemo/contract/inference/schemas.ts'
import { type App, route, type ServiceContext } from '@open-nemo/runtime'
import type { Discovery } from '../adapters/discovery.ts'
import type { BaseModels } from '../models/base-models.ts'
import type { ServedModels } from '../models/served-models.ts'
import { licenceInfo } from './licence.ts'

export interface NimRoutes {
  app: App
  catalogue: ServiceContext['catalogue']
  bases: BaseModels
  served: ServedModels
  discovery: Discovery
}

const RELEASE = '0.1.0'

/** What a NIM answers beside generation: its models, health, metadata, version and licence. */
export function registerNim(on: NimRoutes): void {
  registerModels(on)
  registerHealth(on)
  registerFacts(on)
  const refresh = { id: 'refresh', summary: 'Look for new and deleted adapters now' } as const
  route(on.app, { method: 'POST', path: '/v1/internal/refresh', ...refresh }, async () => {
    await on.discovery.refresh()
    return { object: 'list', data: on.served.list().map((m) => m.id) }
  })
}

function registerModels({ app, served }: NimRoutes): void {
  route(
    app,
    {
      method: 'GET',
      path: '/v1/models',
      id: 'list_served_models',
      summary: 'Models that answer here, adapters included',
      response: servedModelList,
    },
    () => ({ object: 'list', data: served.list() }),
  )
  route(
    app,
    {
      method: 'GET',
      path: '/v1/models/:model{.+}',
      id: 'get_served_model',
      summary: 'One model that answers here',
      response: servedModel,
    },
    async ({ params: { model = '' } }) => {
      await served.resolve(model)
      const data = served.list()
      const found = data.find((m) => m.id === model) ?? data.find((m) => m.id === `default/${model}`)
      if (!found) throw errors.MODEL_NOT_FOUND({ model, models: data.map((m) => m.id).join(', ') })
      return found
    },
  )
}

function registerHealth({ app, bases }: NimRoutes): void {
  const healthy = (message: string) => ({ object: 'health.response', message, status: 'healthy' })
  app.get('/v1/health/live', (c) => c.json(healthy('Service is live.')))
  for (const path of ['/health', '/v1/health']) {
    app.get(path, (c) => c.json({ status: 'healthy', timestamp: new Date().toISOString() }))
  }
  app.get('/v1/health/ready', (c) => {
    const state = bases.primary?.engine.state()
    if (!state || state.status === 'ready')
      return c.json({ ...healthy('Service is ready.'), status: 'ready' })
    const message = 'message' in state ? state.message : state.status
    const body = { object: 'error', type: 'ServiceUnavailable', code: 503, param: null }
    return c.json({ ...body, message: `Service is not ready: ${message}`, detail: message }, 503, {
      'retry-after': '2',
    })
  })
}

function registerFacts({ app, bases, catalogue, served }: NimRoutes): void {
  route(
    app,
    { method: 'GET', path: '/v1/version', id: 'version', summary: 'Version of the service and its API' },
    () => ({ release: RELEASE, api: '1.0.0' }),
  )
  const licence = (id: string) => licenceInfo(catalogue.resolve(id)?.license ?? '')
  const primary = bases.primary?.model.id ?? ''
  route(app, { method: 'GET', path: '/v1/license', id: 'license', summary: 'Licence of the model' }, () =>
    licence(primary),
  )
  route(app, { method: 'GET', path: '/v1/metadata', id: 'metadata', summary: 'What runs here' }, () => ({
    version: RELEASE,
    // The real weights are named even where a model answers to another name.
    modelInfo: served.list().map((m) => ({
      shortName: m.id,
      modelUrl: `nim://${m.root}`,
      root: m.root,
      weights: weightsOf(bases, m.root),
    })),
    licenseInfo: licence(primary),
    assetInfo: [],
    selectedModelProfileId: 'llama.cpp-cpu',
    repository_override: '',
  }))
  // NIMs have their metrics under /v1 too.
  app.get('/v1/metrics', (c) => app.request('/metrics', { headers: c.req.raw.headers }))
}

function weightsOf(bases: BaseModels, id: string): { id: string; sha256: string | null } {
  const running = bases.running().find((b) => b.model.id === id)
  return { id, sha256: running?.sha256() ?? null }
}
