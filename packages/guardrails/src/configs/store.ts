// SPDX-License-Identifier: Apache-2.0
import { newId, nowMicros, stated } from '@open-nemo/contract'
import type { GuardrailConfig } from '@open-nemo/contract/guardrails/schemas.ts'
import type { Database, Queryable } from '@open-nemo/runtime'
import type { Key } from '@open-nemo/runtime/documents/index.ts'
import { keepMasked } from './secrets.ts'

export { type Key, referenceOf as idOf } from '@open-nemo/runtime/documents/index.ts'

/** A document with name, times and defaults filled in; a missing name is made up, a missing namespace `default`. */
export function newConfig(body: Record<string, unknown>): GuardrailConfig {
  const now = nowMicros()
  return {
    ...stated(body),
    created_at: now,
    updated_at: now,
    namespace: String(body.namespace || 'default'),
    name: String(body.name || newId('guardrail')),
    custom_fields: (body.custom_fields as Record<string, unknown>) ?? {},
    schema_version: '1.0',
  }
}

/** Stores a new configuration; false when its name is taken. */
export async function insertConfig(db: Queryable, config: GuardrailConfig): Promise<boolean> {
  const rows = await db.query(
    `INSERT INTO guardrails.configs (namespace, name, created_at, doc) VALUES ($1, $2, $3, $4::jsonb)
     ON CONFLICT DO NOTHING RETURNING name`,
    [config.namespace, config.name, config.created_at, JSON.stringify(config)],
  )
  return rows.length === 1
}

export async function readConfig(db: Queryable, key: Key): Promise<GuardrailConfig | undefined> {
  // PostgreSQL refuses U+0000 in text, and no stored name has it.
  if (`${key.namespace}${key.name}`.includes('\0')) return undefined
  const [row] = await db.query<{ doc: GuardrailConfig }>(
    'SELECT doc FROM guardrails.configs WHERE namespace = $1 AND name = $2',
    [key.namespace, key.name],
  )
  return row?.doc
}

/** All configurations, in the order of creation. */
export async function readConfigs(db: Queryable): Promise<GuardrailConfig[]> {
  const rows = await db.query<{ doc: GuardrailConfig }>(
    'SELECT doc FROM guardrails.configs ORDER BY created_at, namespace, name',
  )
  return rows.map((row) => row.doc)
}

/** The document with a patch in it; empty fields keep their old value. */
export function patchedConfig(old: GuardrailConfig, patch: Record<string, unknown>): GuardrailConfig {
  const given = Object.entries(patch).filter(
    ([key, v]) => v !== null && v !== '' && key !== 'name' && key !== 'namespace',
  )
  const changed = { ...old, ...Object.fromEntries(given), updated_at: nowMicros() }
  if (patch.data && old.data) changed.data = keepMasked(patch.data as Record<string, unknown>, old.data)
  // The configuration is either here or in files.
  if (patch.data && !patch.files_url) delete changed.files_url
  if (patch.files_url && !patch.data) delete changed.data
  return changed
}

/** Writes a patched document when the one it was made from is still there; false when another change came first. */
export async function replaceConfig(
  db: Database,
  old: GuardrailConfig,
  next: GuardrailConfig,
): Promise<boolean> {
  const rows = await db.query(
    `UPDATE guardrails.configs SET doc = $3::jsonb
     WHERE namespace = $1 AND name = $2 AND doc->>'updated_at' = $4 RETURNING name`,
    [old.namespace, old.name, JSON.stringify(next), old.updated_at],
  )
  return rows.length === 1
}

/** Deletes a configuration; false when there is none. */
export async function deleteConfig(db: Queryable, key: Key): Promise<boolean> {
  if (`${key.namespace}${key.name}`.includes('\0')) return false
  const rows = await db.query(
    'DELETE FROM guardrails.configs WHERE namespace = $1 AND name = $2 RETURNING name',
    [key.namespace, key.name],
  )
  return rows.length === 1
}
