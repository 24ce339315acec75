// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, describe } from 'node:test'
import type { Database, RunningService, ServiceContext } from '@open-nemo/runtime'
import { createMetrics, openMemoryDatabase, openServer, silentLogger } from '@open-nemo/runtime'
import { findPostgres, startTestServer } from '@open-nemo/runtime/database/testing.ts'
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
    ensureFiles: absent,
    ensureFloatGguf: absent,
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

export interface Harness {
  /** Sends a request to the service; a string body is sent as it is, anything else as JSON. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  /** The names on one large page of a list. */
  names(query: string, kind?: string): Promise<string[]>
  current(): { db: Database; running: RunningService }
}

export interface Answer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into freely by the tests
  body: any
}

/** Registers the tests twice: on the embedded database, and on a PostgreSQL server where one is installed. */
export function onEachDatabase(register: (harness: Harness) => void): void {
  describe('embedded database', () => register(harness(openMemoryDatabase)))
  const bin = findPostgres()
  const skip = bin ? false : 'PostgreSQL server programs (initdb, postgres) are not installed'
  describe('PostgreSQL server', { skip }, () => register(harness(() => openTestServer(bin ?? ''))))
}

async function openTestServer(bin: string): Promise<Database> {
  const server = await startTestServer(bin)
  const db = openServer(server.dsn, { log: silentLogger() })
  return { ...db, close: () => db.close().then(() => server.stop()) }
}

function harness(open: () => Promise<Database>): Harness {
  let db: Database
  let running: RunningService
  before(async () => {
    db = await open()
    running = await startService(db)
  })
  after(async () => {
    await running.stop()
    await db.close()
  })
  const call: Harness['call'] = async (method, path, body, headers = {}) => {
    const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
    const init = { method, headers, ...(text === undefined ? {} : { body: text }) }
    const response = await running.app.request(path, init)
    return { status: response.status, headers: response.headers, body: await response.json() }
  }
  const names: Harness['names'] = async (query, kind = 'models') => {
    const { status, body } = await call('GET', `/v1/${kind}?page_size=1000&${query}`)
    assert.equal(status, 200, JSON.stringify(body))
    return body.data.map((entity: { name?: string; id: string }) => entity.name ?? entity.id)
  }
  return { call, names, current: () => ({ db, running }) }
}
