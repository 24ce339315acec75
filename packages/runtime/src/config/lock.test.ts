// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { LockHeldError, readLock, takeLock } from './lock.ts'

const dir = await mkdtemp(join(tmpdir(), 'nemo-lock-'))
after(() => rm(dir, { recursive: true, force: true }))

test('a second holder is told who has it, and gets it after release', async () => {
  const path = join(dir, 'a.lock')
  const lock = await takeLock(path, { url: 'http://x' })
  await assert.rejects(
    takeLock(path),
    (err) => err instanceof LockHeldError && err.holder.pid === process.pid,
  )
  await lock.update({ url: 'http://y' })
  assert.deepEqual((await readLock(path))?.info, { url: 'http://y' })
  await lock.release()
  await (await takeLock(path)).release()
})

test('a lock of a dead process, of a recycled process number, or of rubbish is taken over', async () => {
  for (const [i, stale] of [
    JSON.stringify({ pid: 2 ** 22 - 3, host: hostname(), startTicks: '1' }),
    JSON.stringify({ pid: process.ppid, host: hostname(), startTicks: '1' }),
    '{"pid":',
  ].entries()) {
    if (i === 1 && process.platform !== 'linux') continue
    const path = join(dir, `stale-${i}.lock`)
    await writeFile(path, stale)
    await (await takeLock(path)).release()
  }
})

test('of many that try at once exactly one wins', async () => {
  const path = join(dir, 'race.lock')
  await writeFile(path, 'rubbish')
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => takeLock(path)))
  assert.equal(results.filter((r) => r.status === 'fulfilled').length, 1)
})
