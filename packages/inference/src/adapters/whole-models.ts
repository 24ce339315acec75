// SPDX-License-Identifier: Apache-2.0
import type { DataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import { parseFilesUrl } from '@open-nemo/contract/data-store/refs.ts'
import type { Model } from '@open-nemo/contract/entity-store/schemas.ts'
import type { Logger } from '@open-nemo/runtime'
import type { Embedder, Embedders } from '../embedding/embedders.ts'
import type { BaseModel, BaseModels, CatalogueModel } from '../models/base-models.ts'
import { isFinal, nameOf, RETRY_MS, seconds } from './entities.ts'
import { fetchWhole } from './whole-artifact.ts'

/** What answers for a whole model, by what it was tuned from. */
export type WholeServed = { kind: 'local'; base: BaseModel } | { kind: 'embedding'; embedder: Embedder }

/** A model of the entity store that was tuned in all its weights, as far as it has come. */
export interface WholeEntry {
  id: string
  /** The catalogue's model that it was tuned from. */
  parent: CatalogueModel
  /** When the entity was made, in seconds. */
  created: number
  whole: { is: 'ready'; key: string; served: WholeServed } | { is: 'failed'; reason: string; final: boolean }
}

interface Known {
  stamp: string
  retryAt: number
  entry: WholeEntry
}

export type WholeModels = ReturnType<typeof createWholeModels>

/** Takes up whole models as they appear: downloaded, converted, and loaded when somebody asks for them. */
export function createWholeModels(options: {
  store: DataStoreClient
  bases: BaseModels
  embedders: Pick<Embedders, 'parent' | 'weightsOf' | 'tuned'>
  dir: string
  log: Logger
  signal: AbortSignal
}) {
  const { bases, embedders, log, signal } = options
  const known = new Map<string, Known>()

  async function forget(id: string, { whole }: WholeEntry): Promise<void> {
    known.delete(id)
    if (whole.is === 'ready') await engineOf(whole.served).stop()
    log.info({ model: id }, 'tuned model is gone')
  }

  async function follow(model: Model, parent: CatalogueModel): Promise<void> {
    const id = nameOf(model)
    const old = known.get(id)
    if (old && old.stamp === model.updated_at && old.retryAt > Date.now()) return
    const entry = { id, parent, created: seconds(model.created_at) }
    try {
      const whole = await prepare(id, model, parent, old?.entry)
      known.set(id, {
        stamp: model.updated_at,
        retryAt: Number.POSITIVE_INFINITY,
        entry: { ...entry, whole },
      })
    } catch (err) {
      if (signal.aborted) return
      const reason = err instanceof Error ? err.message : String(err)
      const final = isFinal(err)
      log.warn({ model: id, reason, final }, 'tuned model cannot be served')
      const retryAt = final ? Number.POSITIVE_INFINITY : Date.now() + RETRY_MS
      known.set(id, {
        stamp: model.updated_at,
        retryAt,
        entry: { ...entry, whole: { is: 'failed', reason, final } },
      })
    }
  }

  async function prepare(id: string, model: Model, parent: CatalogueModel, old: WholeEntry | undefined) {
    const target = parseFilesUrl(model.artifact?.files_url ?? '', 'artifact.files_url')
    const isEmbedding = parent.task === 'embedding'
    const base = await (isEmbedding ? embedders : bases).weightsOf(parent)
    const artifact = await fetchWhole({ store: options.store, target, base, dir: options.dir, signal })
    const before = old?.whole.is === 'ready' ? old.whole : undefined
    if (before?.key === artifact.key) return before
    if (before) await engineOf(before.served).stop()
    log.info({ model: id, parent: parent.id }, 'tuned model is served')
    const served: WholeServed = isEmbedding
      ? { kind: 'embedding', embedder: embedders.tuned(id, parent, artifact) }
      : { kind: 'local', base: bases.tuned(id, parent, artifact) }
    return { is: 'ready' as const, key: artifact.key, served }
  }

  /** The catalogue's model of this name, when it can be tuned. */
  const tunable = (name: string) => bases.parent(name) ?? embedders.parent(name)

  return {
    entries: () => [...known.values()].map((each) => each.entry),
    find: (id: string) => known.get(id)?.entry,
    keys: () =>
      [...known.values()].flatMap(({ entry: { whole } }) => (whole.is === 'ready' ? whole.key : [])),
    /** Whether a failure may have passed by now. */
    isDue: () => [...known.values()].some((each) => each.retryAt <= Date.now()),
    /** Brings what is served in line with these entities. */
    async update(models: AsyncIterable<Model>): Promise<void> {
      const found = new Map<string, { model: Model; parent: CatalogueModel }>()
      for await (const model of models) {
        const parent = parentOf(tunable, model)
        if (parent) found.set(nameOf(model), { model, parent })
      }
      for (const [id, { entry }] of known) if (!found.has(id)) await forget(id, entry)
      for (const { model, parent } of found.values()) await follow(model, parent)
    },
  }
}

/** The catalogue's model that this one was tuned from; undefined for what is not to be served from its files. */
function parentOf(
  tunable: (name: string) => CatalogueModel | undefined,
  model: Model,
): CatalogueModel | undefined {
  const { artifact, base_model: base } = model
  if (model.peft || model.api_endpoint || artifact?.status !== 'upload_completed') return undefined
  if (typeof base !== 'string' || tunable(nameOf(model))) return undefined
  return tunable(base) ?? tunable(base.replace(/@[^@]*$/, ''))
}

const engineOf = (served: WholeServed) => (served.kind === 'local' ? served.base : served.embedder).engine
