// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Database, RunningService, ServiceContext } from '@open-nemo/runtime'
import { createMetrics, silentLogger } from '@open-nemo/runtime'
import { createLocalProcessExecutor, type Executor } from '@open-nemo/runtime/executors/index.ts'
import type { Launcher } from '../runner/launcher.ts'
import { startCustomizer } from '../service.ts'
import { createFakePlatform, type FakePlatform, newRepo, URLS } from './fake-platform.ts'

type Catalogue = ServiceContext['catalogue']
type CatalogueModel = Catalogue['models'][number]

const FAKE_TRAINER = fileURLToPath(new URL('./fake-trainer.ts', import.meta.url))
export const CONFIG = 'smollm2/smollm2-135m-instruct@v1.0.0+cpu'

/** Config of the embedding model. */
export const EMBEDDER = 'acme/embedder@v1.0.0+cpu'

/** A catalogue with the reference model, Llama's name for it, and an embedding model. */
export function testCatalogue(): Catalogue {
  const seeds = (namespace: string, name: string, target: string, config: string) => ({
    targets: [{ namespace, name, version: target, base_model: `${namespace}/${name}` }],
    configs: [
      {
        namespace,
        name,
        version: config,
        target: `${namespace}/${name}@${target}`,
        max_seq_length: 2048,
        prompt_template: '{prompt} {completion}',
      },
    ],
  })
  const own = seeds('smollm2', 'smollm2-135m-instruct', '1.0', 'v1.0.0+cpu')
  const alias = seeds('meta', 'llama', '2.0', 'v1.0.0+A100')
  const model: CatalogueModel = {
    id: 'smollm2/smollm2-135m-instruct',
    names: ['meta/llama'],
    namespace: 'smollm2',
    name: 'smollm2-135m-instruct',
    version: '1.0',
    description: 'A small chat model.',
    license: 'apache-2.0',
    kind: 'gguf',
    source: { type: 'file', path: '/dev/null' },
    spec: { num_parameters: 134_515_008, context_size: 8192, num_virtual_tokens: 0, is_chat: true },
    templateFile: '/dev/null',
    targets: [...own.targets, ...alias.targets],
    configs: [...own.configs, ...alias.configs],
    origin: 'builtin',
  }
  const embedder: CatalogueModel = {
    ...model,
    ...seeds('acme', 'embedder', '1.0', 'v1.0.0+cpu'),
    id: 'acme/embedder',
    names: [],
    namespace: 'acme',
    name: 'embedder',
    kind: 'hf',
    task: 'embedding',
  }
  const models = [model, embedder]
  return {
    models,
    resolve: (name) => models.find((each) => each.id === name || each.names.includes(name)),
    isAlias: (name) => name.startsWith('meta/'),
    ensureGguf: async () => ({ path: '/dev/null', sha256: '0' }),
    ensureFloatGguf: async () => undefined,
    ensureFiles: async () => '/models',
    ensureCheckpoint: async () => ({ dir: '/models/checkpoint', sha256: 'abc' }),
    template: () => '{{ messages }}',
  }
}

export interface Harness {
  platform: FakePlatform
  dataDir: string
  service: RunningService
  /** Calls the service; gives status and parsed body. */
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: Body }>
  /** Creates a job on the dataset `demo/rows` and gives its id. */
  createJob(change?: Record<string, unknown>): Promise<string>
  /** The job once its status is one of those; throws after 10 s. */
  waitFor(id: string, ...statuses: string[]): Promise<Body>
  /** Stops the service and starts it again on the same folder and database. */
  restart(env?: Record<string, string>, between?: () => Promise<unknown>): Promise<void>
  close(): Promise<void>
}

// biome-ignore lint/suspicious/noExplicitAny: answers are read field by field in tests
export type Body = any

export const ROWS = Array.from({ length: 12 }, (_, i) => ({ prompt: `q${i}`, completion: `a${i}` }))
export const jsonl = (rows: unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

/** A customizer with a fake trainer and fake neighbours, on a database of the caller's. */
export async function startHarness(
  db: Database,
  options: {
    env?: Record<string, string>
    /** Settings of the customizer itself. */
    settings?: Record<string, string>
    executor?: Executor
    launcher?: Launcher
  } = {},
): Promise<Harness> {
  const platform = createFakePlatform()
  platform.repos.set(
    'dataset/demo/rows',
    newRepo({
      'README.md': '# rows',
      'training/a.jsonl': jsonl(ROWS.slice(0, 8)),
      'validation/v.jsonl': jsonl(ROWS.slice(8)),
    }),
  )
  platform.entities.set('datasets/demo/rows', { files_url: 'hf://datasets/demo/rows' })
  const dataDir = await mkdtemp(join(tmpdir(), 'nemo-customizer-'))
  const executor = options.executor ?? createLocalProcessExecutor({ pollMs: 20, graceMs: 500 })
  const start = (env: Record<string, string>) =>
    startCustomizer(contextOf({ db, dataDir, platform, settings: options.settings ?? {} }), {
      executor,
      launcher: options.launcher ?? fakeLauncher(env),
    })
  let service = await start(options.env ?? {})
  const call: Harness['call'] = async (method, path, body) => {
    const response = await service.app.request(path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text ? JSON.parse(text) : undefined }
  }
  return {
    platform,
    dataDir,
    get service() {
      return service
    },
    call,
    async createJob(change = {}) {
      const hyperparameters = { finetuning_type: 'lora', epochs: 2, batch_size: 2, log_every_n_steps: 2 }
      const request = { config: CONFIG, dataset: 'demo/rows', hyperparameters, ...change }
      const { status, body } = await call('POST', '/v1/customization/jobs', request)
      if (status !== 200) throw new Error(JSON.stringify(body))
      return body.id
    },
    async waitFor(id, ...statuses) {
      for (const end = Date.now() + 10_000; ; await sleep(20)) {
        const { body } = await call('GET', `/v1/customization/jobs/${id}`)
        if (statuses.includes(body.status)) return body
        if (Date.now() > end) throw new Error(`still ${body.status}: ${JSON.stringify(body.status_details)}`)
      }
    },
    async restart(env = {}, between) {
      await service.stop()
      await between?.()
      service = await start(env)
    },
    async close() {
      await service.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

export function fakeLauncher(env: Record<string, string>): Launcher {
  const command = [process.execPath, FAKE_TRAINER]
  return { prepare: async () => ({ command, env: { PATH: process.env.PATH ?? '', ...env } }) }
}

function contextOf(on: {
  db: Database
  dataDir: string
  platform: FakePlatform
  settings: Record<string, string>
}): ServiceContext {
  return {
    name: 'customizer',
    env: { NEMO_SERVE_WAIT_SECONDS: '0.6', ...on.settings },
    dataDir: on.dataDir,
    cacheDir: on.dataDir,
    db: on.db,
    fetch: on.platform.fetch,
    urls: URLS,
    publicUrls: URLS,
    catalogue: testCatalogue(),
    log: silentLogger(),
    metrics: createMetrics(),
  }
}
