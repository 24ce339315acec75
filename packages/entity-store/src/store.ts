// SPDX-License-Identifier: Apache-2.0

import type { ListQuery } from '@open-nemo/contract'
import type { Secrets } from '@open-nemo/contract/secrets.ts'
import type { Database, Queryable } from '@open-nemo/runtime'
import { type Entity, patchedEntity } from './document.ts'
import { KINDS, type Kind } from './kinds.ts'
import type { Where } from './where.ts'

/** A row as answers need it: the document as JSON text, which is sent on as it is. */
export interface StoredText {
  doc: string
  secrets: Secrets | null
}

const COLUMNS = 'namespace, name, id, created_at, updated_at, doc, secrets'

/** Stores a new entity; false when its name is taken. One statement, so that two creators cannot both win. */
export async function insertEntity(db: Queryable, kind: Kind, entity: Entity): Promise<boolean> {
  const { namespace, name, id, created_at, doc, secrets } = entity
  const [row] = await db.query<{ made: boolean }>(
    `SELECT entity_store.create_${kind.kind}($1, $2, $3, $4, $5::jsonb, $6::jsonb) AS made`,
    [namespace, name, id, created_at, JSON.stringify(doc), json(secrets)],
  )
  return row?.made === true
}

/** Reads one entity; undefined when there is none. `withSecrets` is for the platform's own callers only. */
export async function readEntity(
  db: Queryable,
  kind: Kind,
  key: { namespace: string; name: string },
  withSecrets = false,
): Promise<StoredText | undefined> {
  const parameters = [key.namespace, key.name]
  if (!withSecrets) {
    const [row] = await db.query<{ doc: string | null }>(
      `SELECT entity_store.read_${kind.kind}($1, $2) AS doc`,
      parameters,
    )
    return row?.doc == null ? undefined : { doc: row.doc, secrets: null }
  }
  const [row] = await db.query<StoredText>(
    `SELECT doc::text AS doc, secrets FROM ${kind.table} WHERE namespace = $1 AND name = $2`,
    parameters,
  )
  return row
}

/** Changes an entity under a row lock, so that two patches of different fields both stay. */
export async function patchEntity(
  db: Database,
  kind: Kind,
  key: { namespace: string; name: string },
  body: Record<string, unknown>,
): Promise<Entity | undefined> {
  return await db.transaction(async (tx) => {
    const [old] = await tx.query<Entity>(
      `SELECT ${COLUMNS} FROM ${kind.table} WHERE namespace = $1 AND name = $2 FOR UPDATE`,
      [key.namespace, key.name],
    )
    if (!old) return undefined
    const entity = patchedEntity(kind, old, body)
    await writeEntity(tx, kind, entity)
    return entity
  })
}

/** Overwrites the document of an entity that exists. */
export async function writeEntity(db: Queryable, kind: Kind, entity: Entity): Promise<void> {
  await db.query(
    `UPDATE ${kind.table} SET updated_at = $3, doc = $4::jsonb, secrets = $5::jsonb
     WHERE namespace = $1 AND name = $2`,
    [entity.namespace, entity.name, entity.updated_at, JSON.stringify(entity.doc), json(entity.secrets)],
  )
}

/** Deletes an entity and returns its id; undefined when there was none. */
export async function deleteEntity(
  db: Queryable,
  kind: Kind,
  key: { namespace: string; name: string },
): Promise<string | undefined> {
  const [row] = await db.query<{ id: string }>(
    `WITH gone AS (
       DELETE FROM ${kind.table} WHERE namespace = $1 AND name = $2 RETURNING id
     ), counted AS (
       UPDATE entity_store.counts SET n = n - 1
       WHERE kind = '${kind.kind}' AND namespace = $1 AND EXISTS (SELECT 1 FROM gone)
     ) SELECT id FROM gone`,
    [key.namespace, key.name],
  )
  return row?.id
}

/** Deletes a namespace that holds nothing; says what it still holds otherwise, and then deletes nothing. */
export async function deleteNamespace(
  db: Queryable,
  id: string,
): Promise<{ isDeleted: boolean; isKnown: boolean; holds: { kind: string; n: number }[] }> {
  const [row] = await db.query<{ known: boolean; gone: string | null; holds: { kind: string; n: number }[] }>(
    `WITH held AS (
       SELECT kind, n FROM entity_store.counts WHERE namespace = $1 AND n > 0
     ), known AS (
       SELECT 1 FROM entity_store.namespaces WHERE namespace = '' AND name = $1
     ), gone AS (
       DELETE FROM entity_store.namespaces
       WHERE namespace = '' AND name = $1 AND NOT EXISTS (SELECT 1 FROM held) RETURNING id
     ), counted AS (
       UPDATE entity_store.counts SET n = n - 1
       WHERE kind = 'namespace' AND namespace = '' AND EXISTS (SELECT 1 FROM gone)
     ) SELECT EXISTS (SELECT 1 FROM known) AS known, (SELECT id FROM gone) AS gone,
         coalesce((SELECT json_agg(json_build_object('kind', kind, 'n', n) ORDER BY kind) FROM held), '[]') AS holds`,
    [id],
  )
  return { isDeleted: row?.gone != null, isKnown: row?.known ?? false, holds: row?.holds ?? [] }
}

/** One page of entities, and how many there are in all. */
export async function listEntities(
  db: Queryable,
  kind: Kind,
  where: Where,
  query: ListQuery,
  withSecrets = false,
): Promise<{ rows: StoredText[]; total: number }> {
  const offset = (query.page - 1) * query.pageSize
  const rows = await readPage(db, kind, where, { query, offset, withSecrets })
  // A page that is neither empty nor full is the last one: it tells the total.
  const isLast = rows.length < query.pageSize && (rows.length > 0 || offset === 0)
  const total = isLast ? offset + rows.length : await countEntities(db, kind, where)
  return { rows, total }
}

/** The page's keys come from an index alone; only its own documents are read, however deep the page. */
async function readPage(
  db: Queryable,
  kind: Kind,
  where: Where,
  page: { query: ListQuery; offset: number; withSecrets: boolean },
): Promise<StoredText[]> {
  const { field, desc } = page.query.sort
  const keys = field === 'name' || field === 'id' ? ['name', 'namespace'] : [field, 'id']
  const order = (table: string) => keys.map((k) => `${table}.${k}${desc ? ' DESC' : ''}`).join(', ')
  const limit = `LIMIT $${where.params.length + 1} OFFSET $${where.params.length + 2}`
  return await db.query<StoredText>(
    `SELECT e.doc::text AS doc${page.withSecrets ? ', e.secrets' : ''}
     FROM (SELECT ${keys.join(', ')} FROM ${kind.table} AS k ${where.sql} ORDER BY ${order('k')} ${limit}) AS k
     JOIN ${kind.table} AS e USING (${keys.join(', ')}) ORDER BY ${order('k')}`,
    [...where.params, page.query.pageSize, page.offset],
  )
}

async function countEntities(db: Queryable, kind: Kind, where: Where): Promise<number> {
  const { counted } = where
  const inNamespace = counted?.namespace === undefined ? '' : 'AND namespace = $1'
  const [row] = counted
    ? await db.query<{ n: number }>(
        `SELECT coalesce(sum(n), 0)::int AS n FROM entity_store.counts WHERE kind = '${kind.kind}' ${inNamespace}`,
        counted.namespace === undefined ? [] : [counted.namespace],
      )
    : await db.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM ${kind.table} AS k ${where.sql}`,
        where.params,
      )
  return row?.n ?? 0
}

/** The key of a namespace's own row. */
export const namespaceKey = (id: string) => ({ namespace: '', name: id })

/** Whether the database answers; for readiness. */
export async function ping(db: Queryable): Promise<boolean> {
  await db.query(`SELECT 1 FROM ${KINDS.namespace.table} LIMIT 1`)
  return true
}

const json = (secrets: Secrets | null) => (secrets === null ? null : JSON.stringify(secrets))
