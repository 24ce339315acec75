// SPDX-License-Identifier: Apache-2.0
import type { Database } from '@open-nemo/runtime'

/** Texts that a kind keeps while a job runs, wherever it goes on: the work folder may be another one then. */
export interface Kept {
  /** What was added under a key, in its order. */
  read(key: string): AsyncIterable<string>
  add(key: string, text: string): Promise<void>
}

const PAGE = 100

/** Keeps texts in the database until the job has ended. */
export function createKept(db: Database, job: string): Kept {
  return {
    async *read(key) {
      for (let after = 0; ; ) {
        const rows = await db.query<{ id: number; text: Uint8Array }>(
          `SELECT id::float8 AS id, text FROM evaluator.kept
           WHERE job = $1 AND key = $2 AND id > $3 ORDER BY id LIMIT ${PAGE}`,
          [job, key, after],
        )
        for (const row of rows) yield Buffer.from(row.text).toString('utf8')
        const last = rows.at(-1)
        if (rows.length < PAGE || !last) return
        after = last.id
      }
    },
    async add(key, text) {
      // As bytes: what a model says may hold what PostgreSQL's text may not.
      await db.query('INSERT INTO evaluator.kept (job, key, text) VALUES ($1, $2, $3)', [
        job,
        key,
        Buffer.from(text),
      ])
    },
  }
}

/** Removes what a job kept. */
export async function dropKept(db: Database, job: string): Promise<void> {
  await db.query('DELETE FROM evaluator.kept WHERE job = $1', [job])
}

/** Keeps texts in memory, for live evaluations. */
export function createMemoryKept(): Kept {
  const kept = new Map<string, string[]>()
  return {
    async *read(key) {
      yield* kept.get(key) ?? []
    },
    async add(key, text) {
      kept.set(key, [...(kept.get(key) ?? []), text])
    },
  }
}
