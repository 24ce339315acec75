// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import {
  createMetrics,
  type Database,
  openMemoryDatabase,
  type ServiceContext,
  silentLogger,
} from '@open-nemo/runtime'
import { service } from './index.ts'

/** A data store for tests, on a folder that goes at the end and a database in memory. */
export async function startForTest(
  options: { dir?: string; db?: Database; env?: Record<string, string>; more?: Record<string, unknown> } = {},
) {
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'nemo-data-store-')))
  const db = options.db ?? (await openMemoryDatabase())
  const running = await service.start({
    name: 'data-store',
    env: options.env ?? {},
    dataDir: dir,
    db,
    log: silentLogger(),
    metrics: createMetrics(),
    ...options.more,
  } as unknown as ServiceContext)
  const { app } = running
  const request = (path: string, init?: RequestInit) => Promise.resolve(app.request(path, init))
  const client = createDataStoreClient({
    baseUrl: 'http://nemo-data-store:3000',
    fetch: async (input, init) => app.fetch(new Request(input as string, init)),
  })
  return {
    app,
    dir,
    db,
    client,
    request,
    /** POSTs JSON. */
    post: (path: string, body: unknown, headers = {}) =>
      request(path, {
        method: 'POST',
        body: JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...headers },
      }),
    /** POSTs NDJSON lines as a commit to a dataset. */
    commit: (id: string, lines: unknown[], branch = 'main') =>
      request(`/v1/hf/api/datasets/${id}/commit/${encodeURIComponent(branch)}`, {
        method: 'POST',
        body: [{ key: 'header', value: { summary: 'test' } }, ...lines]
          .map((l) => JSON.stringify(l))
          .join('\n'),
      }),
    stop: () => running.stop(),
    async close() {
      await running.stop()
      if (!options.db) await db.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** A `file` line of a commit. */
export function file(path: string, content: string | Uint8Array) {
  return {
    key: 'file',
    value: { path, content: Buffer.from(content).toString('base64'), encoding: 'base64' },
  }
}
