// SPDX-License-Identifier: Apache-2.0
import { newId, nowMicros, stated } from '@open-nemo/contract'
import type { Database, Queryable } from '../database/types.ts'

/** A stored resource. Its own fields are beside those that all have. */
export interface Entity {
  id: string
  namespace: string
  name: string
  created_at: string
  updated_at: string
  [field: string]: unknown
}

/** What names a resource among those of its kind. */
export interface Key {
  namespace: string
  name: string
}

export const referenceOf = ({ namespace, name }: Key): string => `${namespace}/${name}`

/** The table of a schema's resources; few rows that are read whole, each with its document. */
export const documentTable = (schema: string) => `
  CREATE TABLE ${schema}.entities (
    kind text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    created_at text COLLATE "C" NOT NULL,
    doc jsonb NOT NULL,
    PRIMARY KEY (kind, namespace, name)
  );`

/** Named resources of one schema, whose kinds have ids that begin with `prefixes`. */
export function documentStore<Kind extends string>(schema: string, prefixes: Record<Kind, string>) {
  const table = `${schema}.entities`
  const where = 'WHERE kind = $1 AND namespace = $2 AND name = $3'
  // PostgreSQL refuses U+0000 in text, and no stored name has it.
  const canExist = ({ namespace, name }: Key) => !`${namespace}${name}`.includes('\0')

  return {
    /** A document with id, times and names filled in; a missing name is the id, a missing namespace `default`. */
    newEntity(kind: Kind, body: Record<string, unknown>): Entity {
      const id = newId(prefixes[kind])
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
    },

    /** Stores a new entity; false when its name is taken. */
    async insertEntity(db: Queryable, kind: Kind, entity: Entity): Promise<boolean> {
      const rows = await db.query(
        `INSERT INTO ${table} (kind, namespace, name, created_at, doc) VALUES ($1, $2, $3, $4, $5::jsonb)
         ON CONFLICT DO NOTHING RETURNING name`,
        [kind, entity.namespace, entity.name, entity.created_at, JSON.stringify(entity)],
      )
      return rows.length === 1
    },

    async readEntity(db: Queryable, kind: Kind, key: Key): Promise<Entity | undefined> {
      if (!canExist(key)) return undefined
      const [row] = await db.query<{ doc: Entity }>(`SELECT doc FROM ${table} ${where}`, [
        kind,
        key.namespace,
        key.name,
      ])
      return row?.doc
    },

    /** All of a kind, in the order of creation. */
    async readEntities(db: Queryable, kind: Kind): Promise<Entity[]> {
      const rows = await db.query<{ doc: Entity }>(
        `SELECT doc FROM ${table} WHERE kind = $1 ORDER BY created_at, name`,
        [kind],
      )
      return rows.map((row) => row.doc)
    },

    /** Changes an entity under a row lock; `change` gives the new document. Undefined when there is none. */
    async updateEntity(
      db: Database,
      kind: Kind,
      key: Key,
      change: (old: Entity) => Record<string, unknown>,
    ): Promise<Entity | undefined> {
      if (!canExist(key)) return undefined
      return await db.transaction(async (tx) => {
        const [row] = await tx.query<{ doc: Entity }>(`SELECT doc FROM ${table} ${where} FOR UPDATE`, [
          kind,
          key.namespace,
          key.name,
        ])
        if (!row) return undefined
        const { id, namespace, name, created_at } = row.doc
        const next = { ...change(row.doc), id, namespace, name, created_at, updated_at: nowMicros() }
        await write(tx, kind, next)
        return next
      })
    },

    /** Writes a document over the one of its name. */
    writeEntity: write,

    /** Deletes an entity and gives it; undefined when there was none. */
    async deleteEntity(db: Queryable, kind: Kind, key: Key): Promise<Entity | undefined> {
      if (!canExist(key)) return undefined
      const [row] = await db.query<{ doc: Entity }>(`DELETE FROM ${table} ${where} RETURNING doc`, [
        kind,
        key.namespace,
        key.name,
      ])
      return row?.doc
    },
  }

  async function write(db: Queryable, kind: Kind, entity: Entity): Promise<void> {
    await db.query(`UPDATE ${table} SET doc = $4::jsonb ${where}`, [
      kind,
      entity.namespace,
      entity.name,
      JSON.stringify(entity),
    ])
  }
}
