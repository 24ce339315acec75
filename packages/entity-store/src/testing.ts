// SPDX-License-Identifier: Apache-2.0
import type { Database, RunningService, ServiceContext } from '@open-nemo/runtime'
import { createMetrics, silentLogger } from '@open-nemo/runtime'
import { service } from './index.ts'

export const TOKEN = 'a-token-for-the-tests'

type Catalogue = ServiceContext['catalogue']
type CatalogueModel = Catalogue['models'][number]

/** A catalogue with a local model that has an alias, and an upstream with a key. */
export function catalogueOf(change: Partial<CatalogueModel>): Catalogue {
  const local: CatalogueModel = {
    id: 'smollm2/smollm2-135m-instruct',
    names: ['meta/alias'],
    namespace: 'smollm2',
    name: 'smollm2-135m-instruct',
    version: '1.0',
    description: 'A small chat model.',
    license: 'apache-2.0',
    kind: 'gguf',
    source: { type: 'file', path: '/dev/null' },
    spec: { num_parameters: 134515008, context_size: 8192, num_virtual_tokens: 0, is_chat: true },
    targets: [],
    configs: [],
    origin: 'builtin',
    ...change,
  }
  const upstream: CatalogueModel = {
    ...local,
    id: 'team/upstream',
    names: [],
    kind: 'upstream',
    source: {
      type: 'url',
      api_endpoint: { url: 'https://up.example/v1', model_id: 'm', api_key: 'seeded-key' },
    },
  }
  const absent = async () => {
    throw new Error('the entity store needs no weights')
  }
  return {
    models: [local, upstream],
    resolve: () => undefined,
    isAlias: (name) => name === 'meta/alias',
    ensureGguf: absent,
    ensureCheckpoint: absent,
    template: () => '',
  }
}

/** Starts the service on a database, as the runtime does. */
export async function startService(db: Database, catalogue = catalogueOf({})): Promise<RunningService> {
  const urls = {} as ServiceContext['urls']
  return await service.start({
    name: 'entity-store',
    env: { NEMO_INTERNAL_TOKEN: TOKEN },
    dataDir: '/nonexistent',
    cacheDir: '/nonexistent',
    db,
    fetch: async () => {
      throw new Error('the entity store calls nobody')
    },
    urls,
    publicUrls: urls,
    catalogue,
    log: silentLogger(),
    metrics: createMetrics(),
  })
}
