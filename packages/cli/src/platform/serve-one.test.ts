// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { findPostgres, startTestServer } from '@open-nemo/runtime/database/testing.ts'
import { serveOne, urlVariable } from './serve-one.ts'

const dir = await mkdtemp(join(tmpdir(), 'nemo-serve-'))
after(() => rm(dir, { recursive: true, force: true }))

const env = (name: string, more: Record<string, string> = {}) => ({
  NEMO_HOME: join(dir, name),
  NEMO_CACHE: join(dir, 'cache'),
  PORT: '0',
  LOG_LEVEL: 'silent',
  ...more,
})

async function roundTrip(base: string): Promise<void> {
  const body = JSON.stringify({ id: 'pod' })
  assert.equal((await fetch(`${base}/v1/namespaces`, { method: 'POST', body })).status, 200)
  assert.equal((await (await fetch(`${base}/v1/namespaces/pod`)).json()).id, 'pod')
  assert.equal((await fetch(`${base}/v1/health/ready`)).status, 200)
}

test('a service runs alone on its own data directory, and again on the same one', async () => {
  const first = await serveOne('entity-store', env('own'))
  await roundTrip(first.url)
  await assert.rejects(serveOne('entity-store', env('own')), { name: 'LockHeldError' })
  await first.stop()
  const second = await serveOne('entity-store', env('own'))
  assert.equal((await fetch(`${second.url}/v1/namespaces/pod`)).status, 200)
  await second.stop()
})

const bin = findPostgres()
const skip = bin ? false : 'PostgreSQL server programs (initdb, postgres) are not installed'

test('a service runs alone on a PostgreSQL server', { skip }, async () => {
  const server = await startTestServer(bin ?? '')
  try {
    const running = await serveOne('entity-store', env('dsn', { NEMO_DATABASE_URL: server.dsn }))
    await roundTrip(running.url)
    await running.stop()
  } finally {
    await server.stop()
  }
})

test('a setting that cannot be is named', async () => {
  await assert.rejects(serveOne('entity-store', env('bad', { PORT: 'x' })), /PORT/)
  await assert.rejects(
    serveOne('entity-store', env('bad', { NEMO_DATABASE_URL: 'mysql://x' })),
    /NEMO_DATABASE_URL/,
  )
  assert.equal(urlVariable('entity-store'), 'NEMO_ENTITY_STORE_URL')
})
