// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openEmbedded } from '../embedded.ts'
import type { Database } from '../types.ts'

const isSlow = process.env.NEMO_SLOW === '1'
const skip = isSlow ? false : 'NEMO_SLOW=1 runs the slow tests'

/** Others fill the disk: not a byte is left. */
function fill(disk: string): () => void {
  const ballast = join(disk, 'ballast')
  spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=1k'])
  return () => rmSync(ballast)
}

test('a disk that others fill: nothing acknowledged is lost, reads go on, and writes once there is room', {
  skip,
  timeout: 120_000,
}, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'nemo-full-'))
  const disk = join(dir, 'disk')
  await mkdir(disk)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=150m', 'tmpfs', disk])
  if (mounted.status !== 0) return t.skip(`no small disk can be mounted: ${mounted.stderr}`)
  try {
    const path = join(disk, 'postgres')
    let db = await openEmbedded(path)
    // Rows that are changed in their pages: it is PostgreSQL's log that has no room, not the table.
    await db.exec(`CREATE TABLE rows (id int PRIMARY KEY, n int, v text) WITH (fillfactor = 30);
      INSERT INTO rows SELECT id, 0, repeat('x', 1000) FROM generate_series(1, 3000) id`)
    await db.exec("UPDATE rows SET v = repeat('y', 1000)")
    await db.exec('VACUUM rows')
    for (let round = 0; round < 2; round++) {
      const free = fill(disk)
      const before = await refused(db)
      await readsOn(db, before)
      free()
      await sleep(600)
      await db.query('UPDATE rows SET n = $1 WHERE id = 2', [round])
    }
    const free = fill(disk)
    const last = await refused(db)
    await db.close()
    free()
    db = await openEmbedded(path)
    await readsOn(db, last)
    await db.close()
  } finally {
    spawnSync('umount', ['-l', disk])
    await rm(dir, { recursive: true, force: true })
  }
})

/** Writes until it is refused; gives the last number that was acknowledged. */
async function refused(db: Database): Promise<number> {
  const [row] = await db.query<{ n: number }>('SELECT n FROM rows WHERE id = 1')
  for (let n = (row?.n ?? 0) + 1; ; n++) {
    const begun = performance.now()
    try {
      await db.transaction(async (tx) => {
        await tx.query('UPDATE rows SET n = $1 WHERE id = 1', [n])
        await tx.query('UPDATE rows SET n = $1, v = $2 WHERE id BETWEEN $3 AND $3 + 39', [
          n,
          'z'.repeat(1000),
          3 + (n % 2900),
        ])
      })
    } catch (err) {
      const { code, message } = err as Error & { code?: string }
      assert.equal(code, 'DISK_FULL', message)
      assert.match(message, /postgres has \d+ MB left/)
      assert.ok(performance.now() - begun < 10_000)
      return n - 1
    }
  }
}

async function readsOn(db: Database, n: number): Promise<void> {
  assert.deepEqual(await db.query('SELECT n FROM rows WHERE id IN (1, $1)', [3 + (n % 2900)]), [{ n }, { n }])
  assert.deepEqual(await db.query('SELECT count(*)::int AS n FROM rows'), [{ n: 3000 }])
}
