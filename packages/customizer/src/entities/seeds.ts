// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import type { Database, Queryable, ServiceContext } from '@open-nemo/runtime'
import {
  deleteEntity,
  type Entity,
  type EntityKind,
  insertEntity,
  newEntity,
  readEntity,
  writeEntity,
} from './store.ts'

type Catalogue = ServiceContext['catalogue']

interface SeedRow {
  kind: EntityKind
  namespace: string
  name: string
  content: string
  stamp: string
}

/** A target or config that is there from the start. */
export interface Seed {
  kind: EntityKind
  body: Record<string, unknown> & { namespace: string; name: string }
  /** Whether it replaces, at every start, what a user made of it. */
  override?: boolean
}

/** What the trainer can do with every model that generates text; the first is what clients take that look at one option only. */
const KINDS = (['sft', 'dpo'] as const).flatMap((training_type) =>
  (['lora', 'lora_merged', 'all_weights'] as const).map((finetuning_type) => ({
    training_type,
    finetuning_type,
  })),
)

/** Embedding models are whole models always: the engine loads no adapters beside them. */
const EMBEDDING_KINDS = (['all_weights', 'lora_merged'] as const).map((finetuning_type) => ({
  training_type: 'sft' as const,
  finetuning_type,
}))

/** Rows of one pass; the trainer splits further by length, so that a pass fits the memory of a small machine. */
const MICRO_BATCH_SIZE = 16

/**
 * Brings the catalogue's targets and configs into the tables. What a user changed or deleted stays so; what nobody
 * touched follows the catalogue, also when a model leaves it. Safe to run by several replicas at once.
 */
export async function seedCatalogue(
  db: Database,
  catalogue: Catalogue,
  more: readonly Seed[] = [],
): Promise<void> {
  // Of two with one name the later counts.
  const seeds = new Map([...seedsOf(catalogue), ...more].map((seed) => [keyOf(seed.kind, seed.body), seed]))
  await db.transaction(async (tx) => {
    await tx.query(`SELECT pg_advisory_xact_lock(hashtext('open-nemo:customizer:seeds'))`)
    const rows = await tx.query<SeedRow>('SELECT kind, namespace, name, content, stamp FROM customizer.seeds')
    const known = new Map(rows.map((row) => [keyOf(row.kind, row), row]))
    for (const [key, seed] of seeds) {
      await applySeed(tx, seed, known.get(key))
      known.delete(key)
    }
    for (const row of known.values()) await removeSeed(tx, row)
  })
}

async function applySeed(tx: Queryable, seed: Seed, row: SeedRow | undefined): Promise<void> {
  const { kind, body, override } = seed
  const content = createHash('sha256').update(JSON.stringify(body)).digest('hex')
  const live = override ? await readEntity(tx, kind, body) : undefined
  if (row?.content === content && (!override || live?.updated_at === row.stamp)) return
  let entity: Entity = newEntity(kind, body)
  if (!row || (override && !live)) {
    await insertEntity(tx, kind, entity)
  } else {
    const old = live ?? (await untouched(tx, row))
    if (old) {
      entity = { ...entity, id: old.id, created_at: old.created_at }
      await writeEntity(tx, kind, entity)
    }
  }
  await tx.query(
    `INSERT INTO customizer.seeds (kind, namespace, name, content, stamp) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (kind, namespace, name) DO UPDATE SET content = excluded.content, stamp = excluded.stamp`,
    [kind, entity.namespace, entity.name, content, entity.updated_at],
  )
}

async function removeSeed(tx: Queryable, row: SeedRow): Promise<void> {
  if (await untouched(tx, row)) await deleteEntity(tx, row.kind, row)
  await tx.query('DELETE FROM customizer.seeds WHERE kind = $1 AND namespace = $2 AND name = $3', [
    row.kind,
    row.namespace,
    row.name,
  ])
}

/** The seeded entity when it is as it was seeded. */
async function untouched(tx: Queryable, row: SeedRow): Promise<Entity | undefined> {
  const entity = await readEntity(tx, row.kind, row)
  return entity?.updated_at === row.stamp ? entity : undefined
}

function seedsOf(catalogue: Catalogue): Seed[] {
  const seeds: Seed[] = []
  for (const model of catalogue.models) {
    for (const target of model.targets) {
      const stands = catalogue.isAlias(target.base_model) ? `Tunes the weights of ${model.id}. ` : ''
      seeds.push({
        kind: 'target',
        body: {
          namespace: target.namespace,
          name: versioned(target.name, target.version),
          description: `${stands}${model.description}`,
          base_model: target.base_model,
          enabled: true,
          num_parameters: model.spec.num_parameters,
          precision: 'bf16-mixed',
          model_path: model.id,
        },
      })
    }
    for (const config of model.configs) {
      seeds.push({
        kind: 'config',
        body: {
          namespace: config.namespace,
          name: versioned(config.name, config.version),
          description: `Fine-tuning of ${model.id}`,
          target: config.target,
          max_seq_length: config.max_seq_length,
          prompt_template: config.prompt_template,
          training_precision: 'bf16-mixed',
          training_options: (model.task === 'embedding' ? EMBEDDING_KINDS : KINDS).map((kind) => ({
            ...kind,
            num_gpus: 1,
            num_nodes: 1,
            tensor_parallel_size: 1,
            micro_batch_size: MICRO_BATCH_SIZE,
          })),
        },
      })
    }
  }
  return seeds
}

const versioned = (name: string, version: string) => (version ? `${name}@${version}` : name)
const keyOf = (kind: string, key: { namespace: string; name: string }) =>
  `${kind}|${key.namespace}|${key.name}`
