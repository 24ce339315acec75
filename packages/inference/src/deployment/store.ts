// SPDX-License-Identifier: Apache-2.0
import { type Database, type Migration, migrate } from '@open-nemo/runtime'
import { documentStore, documentTable, type Key } from '@open-nemo/runtime/documents/index.ts'

export type { Entity, Key } from '@open-nemo/runtime/documents/index.ts'
export { referenceOf } from '@open-nemo/runtime/documents/index.ts'

export type Kind = 'config' | 'deployment'

const SCHEMA = 'deployment'
const migrations: Migration[] = [{ id: 1, name: 'init', sql: documentTable(SCHEMA) }]

export const prepareStore = (db: Database): Promise<void> => migrate(db, SCHEMA, migrations)

/** Where a reference points: namespace before the first `/`; a name alone is one of `default`. */
export function keyOf(reference: string): Key {
  const slash = reference.indexOf('/')
  if (slash <= 0) return { namespace: 'default', name: reference }
  return { namespace: reference.slice(0, slash), name: reference.slice(slash + 1) }
}

/** The stored configs and deployments. */
export const { newEntity, insertEntity, readEntity, readEntities, updateEntity, deleteEntity } =
  documentStore<Kind>(SCHEMA, { config: 'deployment_config', deployment: 'model_deployment' })
