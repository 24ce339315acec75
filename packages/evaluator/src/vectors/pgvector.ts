// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import type { Database } from '@open-nemo/runtime'
import type { Entry, Found, VectorIndex } from './types.ts'

const BATCH = 500

/** Whether the server has the pgvector extension, or lets us make it. */
export async function hasPgvector(db: Database): Promise<boolean> {
  if (db.kind !== 'server') return false
  const found = await db.query<{ installed: boolean }>(
    `SELECT installed_version IS NOT NULL AS installed FROM pg_available_extensions WHERE name = 'vector'`,
  )
  if (found.length === 0) return false
  if (found[0]?.installed) return true
  try {
    await db.exec('CREATE EXTENSION IF NOT EXISTS vector')
    return true
  } catch {
    // The service's role need not be allowed to.
    return false
  }
}

/** Opens an empty table of its own for exact search by pgvector; it is dropped when the index is closed. */
export async function openPgvectorIndex(db: Database): Promise<VectorIndex> {
  if (!(await hasPgvector(db))) {
    throw new Error(
      'the database has no pgvector: let an administrator run CREATE EXTENSION vector, or set NEMO_VECTOR_STORE=exact',
    )
  }
  const table = `evaluator.vectors_${randomUUID().replaceAll('-', '')}`
  let dimensions = 0
  return {
    async add(entries: readonly Entry[]) {
      const [first] = entries
      if (!first) return
      if (dimensions === 0) {
        dimensions = first.vector.length
        await db.exec(
          `CREATE UNLOGGED TABLE ${table} (id text PRIMARY KEY, vector vector(${dimensions}) NOT NULL)`,
        )
      }
      for (let at = 0; at < entries.length; at += BATCH) {
        const part = entries.slice(at, at + BATCH)
        await db.query(`INSERT INTO ${table} SELECT * FROM unnest($1::text[], $2::vector[])`, [
          part.map((one) => one.id),
          part.map((one) => literal(one.vector)),
        ])
      }
    },
    async search(vector, k) {
      if (dimensions === 0) return []
      return db.query<Found & Record<string, unknown>>(
        `SELECT id, (1 - (vector <=> $1::vector))::float8 AS score FROM ${table} ORDER BY vector <=> $1::vector, id DESC LIMIT $2`,
        [literal(vector), k],
      )
    },
    async close() {
      if (dimensions > 0) await db.exec(`DROP TABLE IF EXISTS ${table}`)
      dimensions = 0
    },
  }
}

const literal = (vector: readonly number[]) => `[${vector.join(',')}]`
