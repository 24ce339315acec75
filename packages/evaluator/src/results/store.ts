// SPDX-License-Identifier: Apache-2.0
import { newId, nowMicros } from '@open-nemo/contract'
import type { EvaluationResult } from '@open-nemo/contract/evaluation/results.ts'
import type { Database, Queryable } from '@open-nemo/runtime'

/** A new result document, every field present. */
export function newResult(body: { job: string } & Record<string, unknown>): EvaluationResult {
  const now = nowMicros()
  return {
    description: null,
    project: null,
    files_url: null,
    ownership: null,
    ...body,
    job: body.job,
    id: newId('evaluation_result'),
    created_at: now,
    updated_at: now,
    namespace: String(body.namespace || 'default'),
    custom_fields: (body.custom_fields as Record<string, unknown> | undefined) ?? {},
    tasks: (body.tasks as EvaluationResult['tasks'] | undefined) ?? {},
    groups: (body.groups as EvaluationResult['groups'] | undefined) ?? {},
  }
}

export async function insertResult(db: Queryable, doc: EvaluationResult): Promise<void> {
  await db.query(
    `INSERT INTO evaluator.results (id, job, created_at, updated_at, doc) VALUES ($1, $2, $3, $4, $5::jsonb)`,
    [doc.id, doc.job, doc.created_at, doc.updated_at, JSON.stringify(doc)],
  )
}

export async function readResult(db: Queryable, id: string): Promise<EvaluationResult | undefined> {
  if (id.includes('\0')) return undefined
  const [row] = await db.query<{ doc: EvaluationResult }>('SELECT doc FROM evaluator.results WHERE id = $1', [
    id,
  ])
  return row?.doc
}

/** The newest result of a job. */
export async function resultOfJob(db: Queryable, job: string): Promise<EvaluationResult | undefined> {
  const [row] = await db.query<{ doc: EvaluationResult }>(
    'SELECT doc FROM evaluator.results WHERE job = $1 ORDER BY created_at DESC LIMIT 1',
    [job],
  )
  return row?.doc
}

/** One page of results, and how many match in all. */
export async function listResults(
  db: Queryable,
  query: { where: string; params: unknown[]; order: string; limit: number; offset: number },
): Promise<{ data: EvaluationResult[]; total: number }> {
  const { where, params } = query
  const rows = await db.query<{ doc: EvaluationResult }>(
    `SELECT doc FROM evaluator.results WHERE ${where}
     ORDER BY ${query.order} LIMIT ${query.limit} OFFSET ${query.offset}`,
    params,
  )
  const [count] = await db.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM evaluator.results WHERE ${where}`,
    params,
  )
  return { data: rows.map((row) => row.doc), total: count?.n ?? 0 }
}

/** Changes a result under a row lock: fields of `given` that are not null replace its own. */
export async function updateResult(
  db: Database,
  id: string,
  given: Record<string, unknown>,
): Promise<EvaluationResult | undefined> {
  if (id.includes('\0')) return undefined
  return await db.transaction(async (tx) => {
    const [row] = await tx.query<{ doc: EvaluationResult }>(
      'SELECT doc FROM evaluator.results WHERE id = $1 FOR UPDATE',
      [id],
    )
    if (!row) return undefined
    const changes = Object.fromEntries(Object.entries(given).filter(([, value]) => value != null))
    const { created_at } = row.doc
    const doc = { ...row.doc, ...changes, id, created_at, updated_at: nowMicros() }
    await tx.query('UPDATE evaluator.results SET doc = $2::jsonb, job = $3, updated_at = $4 WHERE id = $1', [
      id,
      JSON.stringify(doc),
      doc.job,
      doc.updated_at,
    ])
    return doc
  })
}

export async function deleteResult(db: Queryable, id: string): Promise<boolean> {
  if (id.includes('\0')) return false
  return (await db.query('DELETE FROM evaluator.results WHERE id = $1 RETURNING id', [id])).length === 1
}
