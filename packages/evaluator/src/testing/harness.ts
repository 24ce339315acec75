// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database, RunningService, ServiceContext } from '@open-nemo/runtime'
import { createMetrics, silentLogger } from '@open-nemo/runtime'
import type { Launcher } from '../dispatch/types.ts'
import { startEvaluator } from '../service.ts'
import { createFakePlatform, type FakePlatform, URLS } from './fake-platform.ts'

// biome-ignore lint/suspicious/noExplicitAny: answers are read field by field in tests
export type Body = any

export interface Harness {
  platform: FakePlatform
  service: RunningService
  context: ServiceContext
  /** Calls the service; gives status and parsed body. */
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: Body }>
  /** The answer's bytes. */
  download(path: string): Promise<Buffer>
  /** Creates a v1 job and gives its id. */
  createJob(job: Record<string, unknown>): Promise<string>
  /** The v1 job once its status is one of those; throws after 60 s. */
  waitFor(id: string, ...statuses: string[]): Promise<Body>
  /** Creates a job, waits for its end, and gives the result and the job. */
  run(job: Record<string, unknown>): Promise<{ job: Body; result: Body }>
  restart(): Promise<void>
  close(): Promise<void>
}

export const jsonl = (rows: unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join('')
export const MODEL = {
  api_endpoint: { url: 'http://model.example/v1', model_id: 'm', api_key: 'sk-very-secret-1' },
}

/** An evaluator with fake neighbours, on a database of the caller's. */
export async function startHarness(
  db: Database,
  options: {
    env?: Record<string, string>
    platform?: FakePlatform
    dataDir?: string
    launcher?: Launcher
  } = {},
): Promise<Harness> {
  const platform = options.platform ?? createFakePlatform()
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'nemo-evaluator-')))
  const context: ServiceContext = {
    name: 'evaluator',
    env: options.env ?? {},
    dataDir,
    cacheDir: dataDir,
    db,
    fetch: (input, init) => platform.fetch(input, init),
    urls: URLS,
    publicUrls: URLS,
    catalogue: {} as ServiceContext['catalogue'],
    log: silentLogger(),
    metrics: createMetrics(),
  }
  const start = () =>
    startEvaluator({ ...context, metrics: createMetrics() }, { idleMs: 50, launcher: options.launcher })
  let service = await start()
  const call: Harness['call'] = async (method, path, body) => {
    const response = await service.app.request(path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text ? JSON.parse(text) : undefined }
  }
  const createJob: Harness['createJob'] = async (job) => {
    const { status, body } = await call('POST', '/v1/evaluation/jobs', job)
    if (status !== 200) throw new Error(JSON.stringify(body))
    return body.id
  }
  const waitFor: Harness['waitFor'] = async (id, ...statuses) => {
    for (const end = Date.now() + 60_000; ; await sleep(10)) {
      const { body } = await call('GET', `/v1/evaluation/jobs/${id}`)
      if (statuses.includes(body.status)) return body
      if (Date.now() > end) throw new Error(`still ${body.status}: ${JSON.stringify(body.status_details)}`)
    }
  }
  return {
    platform,
    context,
    get service() {
      return service
    },
    call,
    createJob,
    waitFor,
    async download(path) {
      const response = await service.app.request(path)
      if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`)
      return Buffer.from(await response.arrayBuffer())
    },
    async run(job) {
      const id = await createJob(job)
      const ended = await waitFor(id, 'completed', 'failed', 'cancelled')
      const { body } = await call('GET', `/v1/evaluation/jobs/${id}/results`)
      return { job: ended, result: body }
    },
    async restart() {
      await service.stop()
      service = await start()
    },
    async close() {
      await service.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}
