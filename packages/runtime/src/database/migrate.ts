// SPDX-License-Identifier: Apache-2.0
import type { Database } from './types.ts'

export interface Migration {
  /** Counts up from 1 without a gap. */
  id: number
  name: string
  sql: string
}

/** The database was written by a newer version of the service. */
export class NewerSchemaError extends Error {
  constructor(schema: string, found: number, known: number) {
    super(
      `the database schema "${schema}" is at version ${found}, and this program knows only up to ${known}: ` +
        'start the newer version, or restore a backup made before the upgrade',
    )
    this.name = 'NewerSchemaError'
  }
}

/**
 * Brings a service's own schema up to date, in one transaction under a lock that replicas share.
 * Throws NewerSchemaError when the schema is ahead of `migrations`.
 */
export async function migrate(db: Database, schema: string, migrations: Migration[]): Promise<void> {
  if (!/^[a-z_]+$/.test(schema)) throw new Error(`bad schema name ${schema}`)
  migrations.forEach((m, i) => {
    if (m.id !== i + 1) throw new Error(`migration ${m.name} of ${schema} should have id ${i + 1}`)
  })
  await db.transaction(async (tx) => {
    await tx.query('SELECT pg_advisory_xact_lock(hashtext($1))', [`open-nemo:${schema}`])
    await tx.exec(
      `CREATE SCHEMA IF NOT EXISTS ${schema};
       CREATE TABLE IF NOT EXISTS ${schema}.migrations (
         id int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`,
    )
    const [row] = await tx.query<{ id: number }>(
      `SELECT coalesce(max(id), 0)::int AS id FROM ${schema}.migrations`,
    )
    const current = row?.id ?? 0
    if (current > migrations.length) throw new NewerSchemaError(schema, current, migrations.length)
    for (const migration of migrations.slice(current)) {
      await tx.exec(migration.sql)
      await tx.query(`INSERT INTO ${schema}.migrations (id, name) VALUES ($1, $2)`, [
        migration.id,
        migration.name,
      ])
    }
  })
}
