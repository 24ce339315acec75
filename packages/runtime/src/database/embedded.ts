// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PGlite, type Transaction } from '@electric-sql/pglite'
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

/** An embedded PostgreSQL that lives in memory, for tests. */
export async function openMemoryDatabase(): Promise<Database> {
  return wrap(await PGlite.create())
}

function wrap(pg: PGlite): Database {
  return {
    kind: 'embedded',
    ...queryable(pg),
    transaction: <T>(work: (tx: Queryable) => Promise<T>) =>
      pg.transaction((tx) => work(queryable(tx))) as Promise<T>,
    close: () => pg.close(),
  }
}

function queryable(on: PGlite | Transaction): Queryable {
  return {
    query: async <R>(text: string, params?: unknown[]) => (await on.query<R>(text, params)).rows,
    exec: async (text) => {
      await on.exec(text)
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
