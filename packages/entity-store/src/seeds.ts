// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { entityName, entityPathName } from '@open-nemo/contract'
import type { ApiEndpointData, ModelCreate } from '@open-nemo/contract/entity-store/schemas.ts'
import type { Database, Logger, Queryable, ServiceContext } from '@open-nemo/runtime'
import { type Entity, newEntity } from './document.ts'
import { KINDS, type Kind } from './kinds.ts'
import { deleteEntity, insertEntity, writeEntity } from './store.ts'

type Catalogue = ServiceContext['catalogue']
type CatalogueModel = Catalogue['models'][number]

interface Seed {
  kind: Kind
  entity: Entity
  /** Digest of what it was made from; another one means that the catalogue has changed. */
  content: string
}

interface SeedRow {
  kind: keyof typeof KINDS
  namespace: string
  name: string
  content: string
  stamp: string
}

/**
 * Brings the entities of the model catalogue into the store: namespace "default", and for each name of each
 * model its namespace and a model. What a user changed or deleted stays so; what nobody touched follows the
 * catalogue, also when a model leaves it. Safe to run by several replicas at once.
 */
export async function seedCatalogue(db: Database, catalogue: Catalogue, log: Logger): Promise<void> {
  const seeds = seedsOf(catalogue, log)
  await db.transaction(async (tx) => {
    await tx.query(`SELECT pg_advisory_xact_lock(hashtext('open-nemo:entity_store:seeds'))`)
    const rows = await tx.query<SeedRow>(
      'SELECT kind, namespace, name, content, stamp FROM entity_store.seeds',
    )
    const known = new Map(rows.map((row) => [keyOf(row.kind, row), row]))
    for (const seed of seeds) {
      const key = keyOf(seed.kind.kind, seed.entity)
      await applySeed(tx, seed, known.get(key))
      known.delete(key)
    }
    for (const row of known.values()) {
      const kind = KINDS[row.kind]
      // A namespace may hold what users made by now.
      if (row.kind === 'model' && (await isUntouched(tx, kind, row))) await deleteEntity(tx, kind, row)
      await tx.query('DELETE FROM entity_store.seeds WHERE kind = $1 AND namespace = $2 AND name = $3', [
        row.kind,
        row.namespace,
        row.name,
      ])
    }
  })
}

async function applySeed(tx: Queryable, seed: Seed, row: SeedRow | undefined): Promise<void> {
  const { kind, entity, content } = seed
  if (row?.content === content) return
  if (!row) {
    await insertEntity(tx, kind, entity)
  } else if (await isUntouched(tx, kind, row)) {
    await writeEntity(tx, kind, await withOldIdentity(tx, kind, entity))
  }
  await tx.query(
    `INSERT INTO entity_store.seeds (kind, namespace, name, content, stamp) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (kind, namespace, name) DO UPDATE SET content = excluded.content, stamp = excluded.stamp`,
    [kind.kind, entity.namespace, entity.name, content, entity.updated_at],
  )
}

async function isUntouched(tx: Queryable, kind: Kind, row: SeedRow): Promise<boolean> {
  const found = await tx.query(
    `SELECT 1 FROM ${kind.table} WHERE namespace = $1 AND name = $2 AND updated_at = $3`,
    [row.namespace, row.name, row.stamp],
  )
  return found.length === 1
}

async function withOldIdentity(tx: Queryable, kind: Kind, entity: Entity): Promise<Entity> {
  const [old] = await tx.query<{ id: string; created_at: string }>(
    `SELECT id, created_at FROM ${kind.table} WHERE namespace = $1 AND name = $2`,
    [entity.namespace, entity.name],
  )
  return old ? { ...entity, ...old, doc: { ...entity.doc, ...old } } : entity
}

function seedsOf(catalogue: Catalogue, log: Logger): Seed[] {
  const namespaces = new Set(['default'])
  const models = new Map<string, Seed>()
  for (const model of catalogue.models) {
    for (const full of [model.id, ...model.names]) {
      const body = modelBody(catalogue, model, full)
      if (!entityName.safeParse(body.namespace).success || !entityPathName.safeParse(body.name).success) {
        log.warn({ model: full }, 'a model of the catalogue has a name that no entity can have; skipped')
        continue
      }
      namespaces.add(body.namespace)
      models.set(full, seed(KINDS.model, body))
    }
  }
  return [...[...namespaces].map((id) => seed(KINDS.namespace, { id })), ...models.values()]
}

function seed(kind: Kind, body: Record<string, unknown>): Seed {
  return { kind, content: digest(body), entity: newEntity(kind, structuredClone(body)) }
}

function modelBody(catalogue: Catalogue, model: CatalogueModel, full: string) {
  const slash = full.indexOf('/')
  const stands = catalogue.isAlias(full) ? `Answers with the weights of ${model.id}. ` : ''
  const endpoint = model.source.type === 'url' ? model.source.api_endpoint : undefined
  return {
    namespace: slash > 0 ? full.slice(0, slash) : model.namespace,
    name: slash > 0 ? full.slice(slash + 1) : full,
    description: `${stands}${model.description}`,
    spec: { ...model.spec },
    api_endpoint: endpoint && ({ format: 'openai', ...endpoint } satisfies ApiEndpointData),
    custom_fields: {
      catalogue_id: model.id,
      version: model.version,
      license: model.license,
      kind: model.kind,
    },
  } satisfies ModelCreate
}

const keyOf = (kind: string, { namespace, name }: { namespace: string; name: string }) =>
  `${kind}|${namespace}|${name}`

const digest = (body: object) => createHash('sha256').update(JSON.stringify(body)).digest('hex')
