// SPDX-License-Identifier: Apache-2.0
import { invalid, newId, nowMicros } from '@open-nemo/contract'
import { type Database, type Migration, migrate, type Queryable } from '@open-nemo/runtime'

export type Kind = 'config' | 'deployment'

/** A stored config or deployment. Its own fields are beside those that both have. */
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

const SCHEMA = 'deployment'
const PREFIX: Record<Kind, string> = { config: 'deployment_config', deployment: 'model_deployment' }

const migrations: Migration[] = [
  {
    id: 1,
    name: 'init',
    sql: `
      -- Few rows, read whole; \`doc\` is the stored document.
      CREATE TABLE deployment.entities (
        kind text COLLATE "C" NOT NULL,
        namespace text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        created_at text COLLATE "C" NOT NULL,
        doc jsonb NOT NULL,
        PRIMARY KEY (kind, namespace, name)
      );`,
  },
]

export const prepareStore = (db: Database): Promise<void> => migrate(db, SCHEMA, migrations)

export const referenceOf = ({ namespace, name }: Key): string => `${namespace}/${name}`

/** Where a reference points: namespace before the first `/`; a name alone is one of `default`. */
export function keyOf(reference: string): Key {
  const slash = reference.indexOf('/')
  if (slash <= 0) return { namespace: 'default', name: reference }
  return { namespace: reference.slice(0, slash), name: reference.slice(slash + 1) }
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
export function newEntity(kind: Kind, body: Record<string, unknown>): Entity {
  const id = newId(PREFIX[kind])
  const now = nowMicros()
  return {
    ...stated(body),
    id,
    created_at: now,
    updated_at: now,
    namespace: String(body.namespace || 'default'),
    name: String(body.name || id),
    custom_fields: body.custom_fields ?? {},
  }
}

/** The fields that have a value: null and absent both leave an old one as it is. */
export const stated = (body: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null && value !== undefined))

/** Stores a new entity; false when its name is taken. */
export async function insertEntity(db: Queryable, kind: Kind, entity: Entity): Promise<boolean> {
  const rows = await db.query(
    `INSERT INTO deployment.entities (kind, namespace, name, created_at, doc) VALUES ($1, $2, $3, $4, $5::jsonb)
     ON CONFLICT DO NOTHING RETURNING name`,
    [kind, entity.namespace, entity.name, entity.created_at, JSON.stringify(entity)],
  )
  return rows.length === 1
}

export async function readEntity(db: Queryable, kind: Kind, key: Key): Promise<Entity | undefined> {
  // PostgreSQL refuses U+0000 in text, and no stored name has it.
  if (`${key.namespace}${key.name}`.includes('\0')) return undefined
  const [row] = await db.query<{ doc: Entity }>(
    'SELECT doc FROM deployment.entities WHERE kind = $1 AND namespace = $2 AND name = $3',
    [kind, key.namespace, key.name],
  )
  return row?.doc
}

/** All of a kind, in the order of creation. */
export async function readEntities(db: Queryable, kind: Kind): Promise<Entity[]> {
  const rows = await db.query<{ doc: Entity }>(
    'SELECT doc FROM deployment.entities WHERE kind = $1 ORDER BY created_at, name',
    [kind],
  )
  return rows.map((row) => row.doc)
}

/** Changes an entity under a row lock. Undefined when there is none. */
export async function updateEntity(
  db: Database,
  kind: Kind,
  key: Key,
  change: (old: Entity) => Record<string, unknown>,
): Promise<Entity | undefined> {
  return await db.transaction(async (tx) => {
    const [row] = await tx.query<{ doc: Entity }>(
      'SELECT doc FROM deployment.entities WHERE kind = $1 AND namespace = $2 AND name = $3 FOR UPDATE',
      [kind, key.namespace, key.name],
    )
    if (!row) return undefined
    const { id, namespace, name, created_at } = row.doc
    const next = { ...change(row.doc), id, namespace, name, created_at, updated_at: nowMicros() }
    await tx.query(
      'UPDATE deployment.entities SET doc = $4::jsonb WHERE kind = $1 AND namespace = $2 AND name = $3',
      [kind, namespace, name, JSON.stringify(next)],
    )
    return next
  })
}

/** Deletes an entity and gives it; undefined when there was none. */
export async function deleteEntity(db: Queryable, kind: Kind, key: Key): Promise<Entity | undefined> {
  if (`${key.namespace}${key.name}`.includes('\0')) return undefined
  const [row] = await db.query<{ doc: Entity }>(
    'DELETE FROM deployment.entities WHERE kind = $1 AND namespace = $2 AND name = $3 RETURNING doc',
    [kind, key.namespace, key.name],
  )
  return row?.doc
}
