// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openEmbedded } from './embedded.ts'

const writer = fileURLToPath(new URL('./kill-writer.ts', import.meta.url))
const ROUNDS = process.env.NEMO_SLOW ? 12 : 2

/** Runs the writer from `first` on and kills it after `ms` of writing; returns the last acknowledged id. */
async function writeAndKill(dir: string, first: number, ms: number, wait: 'open' | 'none'): Promise<number> {
  const child = spawn(process.execPath, [writer, dir, String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let acknowledged = first - 1
  const opened = new Promise<void>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'open') resolve()
      else acknowledged = Number(line)
    })
  })
  const closed = new Promise((resolve) => child.once('close', resolve))
  if (wait === 'open') await opened
  await sleep(ms)
  child.kill('SIGKILL')
  await closed
  return acknowledged
}

test(`the embedded database loses nothing acknowledged over ${ROUNDS} kills under write load`, async () => {
  const home = await mkdtemp(join(tmpdir(), 'nemo-kill-'))
  const dir = join(home, 'postgres')
  try {
    // The first kill falls into the initialisation, which must leave nothing half made.
    await writeAndKill(dir, 0, 300, 'none')
    let next = 0
    for (let round = 0; round < ROUNDS; round++) {
      const acknowledged = await writeAndKill(dir, next, 150 + 97 * round, 'open')
      const db = await openEmbedded(dir)
      const rows = await db.query<{ id: number }>('SELECT id FROM kill.rows ORDER BY id')
      const [total] = await db.query<{ n: number }>('SELECT n FROM kill.total')
      await db.close()
      assert.ok(acknowledged >= next, 'the writer acknowledged something')
      assert.ok(
        rows.length > acknowledged,
        `row ${acknowledged} was acknowledged, and ${rows.length} are there`,
      )
      assert.deepEqual(rows.at(-1)?.id, rows.length - 1, 'no gap')
      assert.equal(total?.n, rows.length, 'each transaction is whole')
      next = rows.length
    }
  } finally {
    await rm(home, { recursive: true, force: true })
  }
})
