// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import fs, { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEmbedded } from '../embedded.ts'
import type { Database } from '../types.ts'
import { EmbeddedDatabase } from './database.ts'
import { Life } from './life.ts'
import { Reserve } from './reserve.ts'

const dir = await mkdtemp(join(tmpdir(), 'nemo-crash-'))
const path = join(dir, 'postgres')
const MB = 1024 * 1024
/** What the disk is said to have left. */
let free = 1000 * MB
/** While it is set, PostgreSQL cannot write to its log. */
let isLogFull = false
const reserve = new Reserve(`${path}.reserve`, async () => ({ bavail: free, bsize: 1 }))
let db: Database

const write = fs.writeSync as (...args: unknown[]) => number
const openFile = fs.openSync
const logs = new Set<number>()
before(async () => {
  // PGlite writes by these two.
  fs.openSync = (...args: Parameters<typeof openFile>) => {
    const fd = openFile(...args)
    if (/pg_wal\/0000/.test(String(args[0]))) logs.add(fd)
    else logs.delete(fd)
    return fd
  }
  fs.writeSync = (...args: unknown[]) => {
    if (isLogFull && logs.has(args[0] as number))
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', errno: -28 })
    return write(...args)
  }
  await (await openEmbedded(path)).close()
  db = new EmbeddedDatabase(await Life.begin(path), {
    open: () => Life.begin(path),
    disk: { dir: path, reserve },
  })
  await db.exec('CREATE TABLE kept (n int)')
})
after(async () => {
  await db.close()
  fs.writeSync = write as typeof fs.writeSync
  fs.openSync = openFile
  await rm(dir, { recursive: true, force: true })
})
beforeEach(() => {
  free = 1000 * MB
  isLogFull = false
})

const numbers = async () => (await db.query<{ n: number }>('SELECT n FROM kept ORDER BY n')).map(({ n }) => n)

test('a crash fails what was under way, and whoever waited is served by the next life', async () => {
  await db.query('INSERT INTO kept VALUES (1)')
  isLogFull = true
  const lost = assert.rejects(db.query('INSERT INTO kept SELECT generate_series(1, 200000)'), {
    code: 'DATABASE_UNAVAILABLE',
    status: 503,
  })
  const waiting = db.query('INSERT INTO kept VALUES (2)')
  await lost
  isLogFull = false
  await waiting
  assert.deepEqual(await numbers(), [1, 2])
})

test('a crash in a transaction, or among several statements, ends it whole', async () => {
  isLogFull = true
  const transaction = db.transaction(async (tx) => {
    await tx.query('INSERT INTO kept VALUES (3)')
  })
  await assert.rejects(transaction, { code: 'DATABASE_UNAVAILABLE' })
  isLogFull = false
  assert.deepEqual(await numbers(), [1, 2])
  isLogFull = true
  const statements = db.exec('INSERT INTO kept VALUES (4); COMMIT; SELECT 1; INSERT INTO kept VALUES (4)')
  await assert.rejects(statements, { code: 'DATABASE_UNAVAILABLE' })
  isLogFull = false
  assert.deepEqual(await numbers(), [1, 2])
})

test('on a full disk the next life has the room of the reserve, reads and deletes; writes wait for room', async () => {
  assert.ok(existsSync(`${path}.reserve`))
  isLogFull = true
  free = 0
  await assert.rejects(db.query('INSERT INTO kept VALUES (5)'), { code: 'DISK_FULL', status: 507 })
  isLogFull = false
  const giveUp = reserve.giveUp.bind(reserve)
  reserve.giveUp = async () => {
    await giveUp()
    free = 24 * MB
  }
  assert.deepEqual(await numbers(), [1, 2])
  assert.ok(!existsSync(`${path}.reserve`))
  await assert.rejects(db.query('INSERT INTO kept VALUES (5)'), { code: 'DISK_FULL' })
  await assert.rejects(
    db.transaction(async (tx) => await tx.query('UPDATE kept SET n = 7')),
    { code: 'DISK_FULL' },
  )
  await db.query('DELETE FROM kept WHERE n = 1')
  assert.deepEqual(await numbers(), [2])
  free = 1000 * MB
  await sleep(600)
  await db.query('INSERT INTO kept VALUES (6)')
  assert.ok(existsSync(`${path}.reserve`))
  assert.deepEqual(await numbers(), [2, 6])
})

test('without any room the database stays shut, says why, and opens when there is some', async () => {
  isLogFull = true
  free = 0
  reserve.giveUp = async () => {}
  await assert.rejects(db.query('INSERT INTO kept VALUES (5)'), { code: 'DISK_FULL' })
  isLogFull = false
  await assert.rejects(numbers(), (err: Error & { code?: string; hint?: string }) => {
    assert.equal(err.code, 'DATABASE_STOPPED')
    assert.match(err.message, /nemo-crash-.* has 0 MB left/)
    assert.match(String(err.hint), /opens by itself once 20 MB are free/)
    return true
  })
  free = 1000 * MB
  assert.deepEqual(await numbers(), [2, 6])
})
