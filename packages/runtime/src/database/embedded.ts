// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { DiskSpaceError } from '../cache/disk.ts'
import type { Logger } from '../telemetry/log.ts'
import { EmbeddedDatabase } from './embedded/database.ts'
import { Life } from './embedded/life.ts'
import { OPENING_BYTES, Reserve } from './embedded/reserve.ts'
import type { Database } from './types.ts'

/** What a new database takes. */
const NEW_BYTES = 64 * 1024 * 1024
const TMP_PREFIX = '.postgres-init-'

/**
 * Opens the embedded PostgreSQL in `dir`, creating it first when absent.
 * It is initialised in a temporary folder beside `dir` and renamed, so that a kill half way leaves nothing.
 * The caller holds the lock on the folder above: two openings would destroy each other.
 */
export async function openEmbedded(dir: string, options: { log?: Logger } = {}): Promise<Database> {
  const parent = dirname(dir)
  await mkdir(parent, { recursive: true })
  for (const left of await readdir(parent)) {
    if (left.startsWith(TMP_PREFIX)) await rm(join(parent, left), { recursive: true, force: true })
  }
  const reserve = new Reserve(`${dir}.reserve`)
  if ((await reserve.free()) < OPENING_BYTES) await reserve.giveUp()
  const need = existsSync(dir) ? OPENING_BYTES : NEW_BYTES
  const have = await reserve.free()
  if (have < need)
    throw new DiskSpaceError({ what: 'the embedded database', dir, need, have, variable: 'NEMO_HOME' })
  if (!existsSync(dir)) {
    const tmp = join(parent, `${TMP_PREFIX}${process.pid}`)
    const fresh = await PGlite.create(tmp)
    await fresh.close()
    await rename(tmp, dir)
    await syncFolder(parent)
  }
  const life = await Life.begin(dir)
  await reserve.make()
  return new EmbeddedDatabase(life, {
    open: () => Life.begin(dir),
    disk: { dir, reserve },
    log: options.log,
  })
}

/** An embedded PostgreSQL that lives in memory, for tests; or what NEMO_TEST_DATABASE names in its place. */
export async function openMemoryDatabase(): Promise<Database> {
  const { testDatabase } = await import('./testing.ts')
  const server = await testDatabase()
  if (server) return server
  const life = await Life.begin()
  return new EmbeddedDatabase(life, { open: () => Promise.reject(life.crash) })
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
