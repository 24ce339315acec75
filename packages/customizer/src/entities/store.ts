// SPDX-License-Identifier: Apache-2.0
import { invalid, newId, nowMicros } from '@open-nemo/contract'
import type { Database, Queryable } from '@open-nemo/runtime'

export type EntityKind = 'target' | 'config'

/** A stored target or config. Its own fields are beside those that all have. */
export interface Entity {
  id: string
  namespace: string
  name: string
  created_at: string
  updated_at: string
  [field: string]: unknown
}

export interface Key {
  namespace: string
  name: string
}

const PREFIX: Record<EntityKind, string> = {
  target: 'customization_target',
  config: 'customization_config',
}

/** Throws a 422 for text that the database cannot store: U+0000 and halves of surrogate pairs. */
export function refuseUnstorable(value: unknown, loc: (string | number)[] = ['body']): void {
  if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed())) {
    throw invalid(loc, 'holds U+0000 or half a surrogate pair, which cannot be stored')
  }
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    refuseUnstorable(key, [...loc, '(key)'])
    refuseUnstorable(inner, [...loc, key])
  }
}

/** A document with id, times and names filled in; a missing name is the id, a missing namespace `default`. */
export function newEntity(kind: EntityKind, body: Record<string, unknown>): Entity {
  const id = newId(PREFIX[kind])
  const now = nowMicros()
  const stated = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null))
  return {
    ...stated,
    id,
    created_at: now,
    updated_at: now,
    namespace: String(body.namespace || 'default'),
    name: String(body.name || id),
    custom_fields: body.custom_fields ?? {},
  }
}

/** Stores a new entity; false when its name is taken. */
export async function insertEntity(db: Queryable, kind: EntityKind, entity: Entity): Promise<boolean> {
  const rows = await db.query(
    `INSERT INTO customizer.entities (kind, namespace, name, created_at, doc) VALUES ($1, $2, $3, $4, $5::jsonb)
     ON CONFLICT DO NOTHING RETURNING name`,
    [kind, entity.namespace, entity.name, entity.created_at, JSON.stringify(entity)],
  )
  return rows.length === 1
}

export async function readEntity(db: Queryable, kind: EntityKind, key: Key): Promise<Entity | undefined> {
  // PostgreSQL refuses U+0000 in text, and no stored name has it.
  if (`${key.namespace}${key.name}`.includes('\0')) return undefined
  const [row] = await db.query<{ doc: Entity }>(
    'SELECT doc FROM customizer.entities WHERE kind = $1 AND namespace = $2 AND name = $3',
    [kind, key.namespace, key.name],
  )
  return row?.doc
}

/** All of a kind, in the order of creation. */
export async function readEntities(db: Queryable, kind: EntityKind): Promise<Entity[]> {
  const rows = await db.query<{ doc: Entity }>(
    'SELECT doc FROM customizer.entities WHERE kind = $1 ORDER BY created_at, name',
    [kind],
  )
  return rows.map((row) => row.doc)
}

/** Changes an entity under a row lock; `change` gives the new document. Undefined when there is none. */
export async function updateEntity(
  db: Database,
  kind: EntityKind,
  key: Key,
  change: (old: Entity) => Entity,
): Promise<Entity | undefined> {
  return await db.transaction(async (tx) => {
    const [row] = await tx.query<{ doc: Entity }>(
      'SELECT doc FROM customizer.entities WHERE kind = $1 AND namespace = $2 AND name = $3 FOR UPDATE',
      [kind, key.namespace, key.name],
    )
    if (!row) return undefined
    const { id, namespace, name, created_at } = row.doc
    const next = { ...change(row.doc), id, namespace, name, created_at, updated_at: nowMicros() }
    await writeEntity(tx, kind, next)
    return next
  })
}

export async function writeEntity(db: Queryable, kind: EntityKind, entity: Entity): Promise<void> {
  await db.query(
    'UPDATE customizer.entities SET doc = $4::jsonb WHERE kind = $1 AND namespace = $2 AND name = $3',
    [kind, entity.namespace, entity.name, JSON.stringify(entity)],
  )
}

/** Deletes an entity and gives its id; undefined when there was none. */
export async function deleteEntity(db: Queryable, kind: EntityKind, key: Key): Promise<string | undefined> {
  const [row] = await db.query<{ id: string }>(
    `DELETE FROM customizer.entities WHERE kind = $1 AND namespace = $2 AND name = $3 RETURNING doc->>'id' AS id`,
    [kind, key.namespace, key.name],
  )
  return row?.id
}
