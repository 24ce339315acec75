// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openMemoryDatabase } from '../database/embedded.ts'
import { migrate } from '../database/migrate.ts'
import type { Database } from '../database/types.ts'
import { createJobStore, type JobStore, jobTableMigration, LeaseLostError } from './index.ts'

let db: Database
let jobs: JobStore<{ n: number }, { progress: number }>
const LEASE = 60_000
const claim = (owner: string, leaseMs = LEASE) =>
  jobs.claim({ owner, leaseMs, statuses: ['created', 'pending', 'running'] })
const add = (id: string, status = 'created') =>
  jobs.enqueue({ id, kind: 'test', status, payload: { n: 1 }, state: { progress: 0 } })

before(async () => {
  db = await openMemoryDatabase()
  await migrate(db, 'jobs_test', [jobTableMigration(1, 'jobs_test')])
  jobs = createJobStore(db, 'jobs_test')
})
beforeEach(() => db.exec('DELETE FROM jobs_test.jobs'))
after(() => db.close())

const leaseOf = (job: { id: string; attempt: number } | undefined, owner: string) => {
  assert.ok(job)
  return { id: job.id, owner, attempt: job.attempt }
}

test('the oldest waiting job is claimed once, and finished ones never', async () => {
  await add('done', 'completed')
  await add('first')
  await add('second')
  assert.equal((await claim('a'))?.id, 'first')
  assert.equal((await claim('b'))?.id, 'second')
  assert.equal(await claim('c'), undefined)
})

test('a job whose worker is silent is claimed again, and the old worker can write nothing', async () => {
  await add('job')
  const old = leaseOf(await claim('a', 20), 'a')
  await sleep(40)
  assert.deepEqual(
    (await jobs.listExpired()).map((j) => j.id),
    ['job'],
  )
  const again = await claim('b')
  assert.equal(again?.attempt, 2)
  await assert.rejects(jobs.save(old, { state: { progress: 9 } }), LeaseLostError)
  await assert.rejects(jobs.heartbeat(old, LEASE), LeaseLostError)
  assert.equal((await jobs.get('job'))?.state.progress, 0)
})

test('a worker that comes back under its own name has another attempt', async () => {
  await add('job')
  const old = leaseOf(await claim('a'), 'a')
  await jobs.freeOwned('a')
  const next = leaseOf(await claim('a'), 'a')
  await assert.rejects(jobs.completeStep(old, 'two'), LeaseLostError)
  assert.equal((await jobs.completeStep(next, 'two', { status: 'running' })).step, 'two')
})

test('heartbeats prolong the lease and tell of a cancellation', async () => {
  await add('job')
  const lease = leaseOf(await claim('a', 40), 'a')
  assert.deepEqual(await jobs.heartbeat(lease, LEASE), { isCancelRequested: false })
  await sleep(60)
  assert.equal(await claim('b'), undefined)
  await jobs.update('job', () => ({ status: 'cancelling', isCancelRequested: true }))
  assert.deepEqual(await jobs.heartbeat(lease, LEASE), { isCancelRequested: true })
  assert.equal((await jobs.save(lease, { status: 'running' })).status, 'cancelling')
  assert.equal((await jobs.release(lease, { status: 'cancelled' })).status, 'cancelled')
})

test('a released job waits again at the step it had reached', async () => {
  await add('job')
  const lease = leaseOf(await claim('a'), 'a')
  await jobs.completeStep(lease, 'train', { state: { progress: 5 } })
  await jobs.release(lease, { status: 'pending' })
  const again = await claim('b')
  assert.deepEqual([again?.step, again?.state.progress, again?.status], ['train', 5, 'pending'])
})

test('only jobs that nobody works on are deleted', async () => {
  await add('job')
  await claim('a')
  assert.equal(await jobs.delete('job', ['created']), false)
  await jobs.freeOwned('a')
  assert.equal(await jobs.delete('job', ['created']), true)
  assert.equal(await jobs.get('job'), undefined)
  assert.equal(await jobs.update('job', () => ({ status: 'x' })), undefined)
})

test('text that PostgreSQL refuses is stored in another form', async () => {
  await add('job')
  const lease = leaseOf(await claim('a'), 'a')
  const state = { progress: 1, log: 'a\0b \ud800 \\u0000 😀' }
  const saved = await jobs.save(lease, { state })
  assert.deepEqual(saved.state, { progress: 1, log: 'a\ufffdb \ufffd \\u0000 😀' })
})
