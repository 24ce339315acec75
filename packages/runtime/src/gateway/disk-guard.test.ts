// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { watchDisk } from './disk-guard.ts'

test('a disk that is nearly full takes no more, gives what it has, and lets deletions make room', async () => {
  let bavail = 10_000
  const guard = await watchDisk('/data', async () => ({ bavail, bsize: 1024 }))
  assert.match(String(guard.refusal('POST')), /\/data has 10 MB left/)
  for (const method of ['GET', 'HEAD', 'DELETE']) assert.equal(guard.refusal(method), undefined)
  bavail = 1_000_000
  await sleep(700)
  assert.equal(guard.refusal('POST'), undefined)
  guard.stop()
})

test('a disk that cannot be asked is not called full', async () => {
  const guard = await watchDisk('/data', () => Promise.reject(new Error('no such disk')))
  assert.equal(guard.refusal('PUT'), undefined)
  guard.stop()
})
