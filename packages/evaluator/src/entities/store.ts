// SPDX-License-Identifier: Apache-2.0
import { newId, nowMicros, stated } from '@open-nemo/contract'
import type { Database, Queryable } from '@open-nemo/runtime'
import type { Entity, Key } from '@open-nemo/runtime/documents/index.ts'
import { type Secrets, takeSecrets } from './secrets.ts'

export type { Entity, Key } from '@open-nemo/runtime/documents/index.ts'

export type EntityKind = 'target' | 'config'

/** A target or config as stored: secrets are masked. */
export interface Stored {
  doc: Entity
  secrets: Secrets
}

export const ID_PREFIX: Record<EntityKind, string> = { target: 'eval-target', config: 'eval-config' }

/** A new document with id, times and names filled in; a missing name is the id, a missing namespace `default`. */
export function newEntity(kind: EntityKind, body: Record<string, unknown>): Stored {
  const id = newId(ID_PREFIX[kind])
  const now = nowMicros()
  const doc: Entity = {
    ...stated(structuredClone(body)),
    id,
    created_at: now,
    updated_at: now,
    namespace: String(body.namespace || 'default'),
    name: String(body.name || id),
    custom_fields: body.custom_fields ?? {},
  }
  return { secrets: takeSecrets(doc), doc }
}

/** Stores a new entity; false when its name is taken. */
export async function insertEntity(
  db: Queryable,
  kind: EntityKind,
  { doc, secrets }: Stored,
): Promise<boolean> {
  const rows = await db.query(
    `INSERT INTO evaluator.entities (kind, namespace, name, id, created_at, updated_at, doc, secrets)
     VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8::jsonb) ON CONFLICT DO NOTHING RETURNING id`,
    [
      kind,
      doc.namespace,
      doc.name,
      doc.id,
      doc.created_at,
      doc.updated_at,
      JSON.stringify(doc),
      JSON.stringify(secrets),
    ],
  )
  return rows.length === 1
}

export async function readEntity(db: Queryable, kind: EntityKind, key: Key): Promise<Stored | undefined> {
  // PostgreSQL refuses U+0000 in text, and no stored name has it.
  if (`${key.namespace}${key.name}`.includes('\0')) return undefined
  const [row] = await db.query<Stored>(
    'SELECT doc, secrets FROM evaluator.entities WHERE kind = $1 AND namespace = $2 AND name = $3',
    [kind, key.namespace, key.name],
  )
  return row
}

/** One page of a kind, and how many match in all. `where` is a condition whose parameters are `params`. */
export async function listEntities(
  db: Queryable,
  kind: EntityKind,
  query: { where: string; params: unknown[]; order: string; limit: number; offset: number },
): Promise<{ data: Entity[]; total: number }> {
  const { where, params } = query
  const condition = `kind = '${kind}' AND ${where}`
  const rows = await db.query<{ doc: Entity }>(
    `SELECT doc FROM evaluator.entities WHERE ${condition}
     ORDER BY ${query.order} LIMIT ${query.limit} OFFSET ${query.offset}`,
    params,
  )
  const [count] = await db.query<{ n: number }>(
    `SELECT count(*)::int AS n FROM evaluator.entities WHERE ${condition}`,
    params,
  )
  return { data: rows.map((row) => row.doc), total: count?.n ?? 0 }
}

/** Changes an entity under a row lock: fields of `given` replace those of the document. Undefined when there is none. */
export async function updateEntity(
  db: Database,
  kind: EntityKind,
  key: Key,
  given: Record<string, unknown>,
): Promise<Entity | undefined> {
  if (`${key.namespace}${key.name}`.includes('\0')) return undefined
  return await db.transaction(async (tx) => {
    const [row] = await tx.query<Stored>(
      'SELECT doc, secrets FROM evaluator.entities WHERE kind = $1 AND namespace = $2 AND name = $3 FOR UPDATE',
      [kind, key.namespace, key.name],
    )
    if (!row) return undefined
    const { id, namespace, name, created_at } = row.doc
    const doc: Entity = {
      ...row.doc,
      ...stated(structuredClone(given)),
      ...{ id, namespace, name, created_at, updated_at: nowMicros() },
    }
    const secrets = { ...untouched(row.secrets, given), ...takeSecrets(masksOnly(doc, given), row) }
    await tx.query(
      `UPDATE evaluator.entities SET doc = $4::jsonb, secrets = $5::jsonb, updated_at = $6
       WHERE kind = $1 AND namespace = $2 AND name = $3`,
      [kind, namespace, name, JSON.stringify(doc), JSON.stringify(secrets), doc.updated_at],
    )
    return doc
  })
}

/** The secrets of fields that are not given anew. */
function untouched(secrets: Secrets, given: Record<string, unknown>): Secrets {
  return Object.fromEntries(
    Object.entries(secrets).filter(([pointer]) => given[pointer.split('/')[1] ?? ''] == null),
  )
}

/** The part of `doc` that `given` replaced, the same objects, so that masking it masks `doc`. */
function masksOnly(doc: Entity, given: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.keys(stated(given)).map((key) => [key, doc[key]]))
}

/** Deletes an entity and gives its id; undefined when there was none. */
export async function deleteEntity(db: Queryable, kind: EntityKind, key: Key): Promise<string | undefined> {
  if (`${key.namespace}${key.name}`.includes('\0')) return undefined
  const [row] = await db.query<{ id: string }>(
    'DELETE FROM evaluator.entities WHERE kind = $1 AND namespace = $2 AND name = $3 RETURNING id',
    [kind, key.namespace, key.name],
  )
  return row?.id
}
