// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PGlite, type Transaction } from '@electric-sql/pglite'
import { runInOneRound } from './one-round.ts'
import type { Database, Queryable } from './types.ts'

const TMP_PREFIX = '.postgres-init-'

/**
 * Opens the embedded PostgreSQL in `dir`, creating it first when absent.
 * It is initialised in a temporary folder beside `dir` and renamed, so that a kill half way leaves nothing.
 * The caller holds the lock on the folder above: two openings would destroy each other.
 */
export async function openEmbedded(dir: string): Promise<Database> {
  const parent = dirname(dir)
  await mkdir(parent, { recursive: true })
  for (const left of await readdir(parent)) {
    if (left.startsWith(TMP_PREFIX)) await rm(join(parent, left), { recursive: true, force: true })
  }
  if (!existsSync(dir)) {
    const tmp = join(parent, `${TMP_PREFIX}${process.pid}`)
    const fresh = await PGlite.create(tmp)
    await fresh.close()
    await rename(tmp, dir)
    await syncFolder(parent)
  }
  return wrap(await PGlite.create(dir))
}

/** An embedded PostgreSQL that lives in memory, for tests; or what NEMO_TEST_DATABASE names in its place. */
export async function openMemoryDatabase(): Promise<Database> {
  const { testDatabase } = await import('./testing.ts')
  const server = await testDatabase()
  if (server) return server
  return wrap(await PGlite.create())
}

function wrap(pg: PGlite): Database {
  return {
    kind: 'embedded',
    query: async (text, params = []) => {
      await pg._checkReady()
      return await pg._runExclusiveTransaction(() => runInOneRound(pg, text, params, true))
    },
    exec: async (text) => {
      await pg.exec(text)
    },
    transaction: <T>(work: (tx: Queryable) => Promise<T>) =>
      pg.transaction((tx) => work(inTransaction(pg, tx))) as Promise<T>,
    close: () => pg.close(),
  }
}

/** PGlite's transaction keeps others out, so its statements go straight to the database. */
function inTransaction(pg: PGlite, tx: Transaction): Queryable {
  return {
    query: async (text, params = []) => {
      if (tx.closed) throw new Error('the transaction has ended')
      return await runInOneRound(pg, text, params, false)
    },
    exec: async (text) => {
      await tx.exec(text)
    },
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
