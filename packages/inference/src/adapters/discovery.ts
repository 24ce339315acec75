// SPDX-License-Identifier: Apache-2.0
import type { DataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import { parseFilesUrl } from '@open-nemo/contract/data-store/refs.ts'
import type { EntityStoreClient } from '@open-nemo/contract/entity-store/client.ts'
import type { Model } from '@open-nemo/contract/entity-store/schemas.ts'
import { MASK } from '@open-nemo/contract/secrets.ts'
import type { Logger } from '@open-nemo/runtime'
import type { Embedders } from '../embedding/embedders.ts'
import { EngineError } from '../engine/types.ts'
import type { BaseModel, BaseModels } from '../models/base-models.ts'
import { type Artifact, fetchAdapter, sweepArtifacts } from './artifact.ts'
import { isFinal, nameOf, RETRY_MS, seconds } from './entities.ts'
import { createWholeModels, type WholeEntry } from './whole-models.ts'

/** A tuned model of the entity store, as far as it has come. */
export interface AdapterEntry {
  id: string
  base: BaseModel
  /** When the entity was made, in seconds. */
  created: number
  state: { is: 'ready'; artifact: Artifact } | { is: 'failed'; reason: string; final: boolean }
}

/** A model of the entity store that another server answers for. */
export interface UpstreamEntry {
  id: string
  created: number
  endpoint: { url: string; model_id: string; api_key?: string | null | undefined }
}

export interface Discovery {
  adapters(): AdapterEntry[]
  /** Models tuned in all their weights, those that embed among them. */
  wholes(): WholeEntry[]
  upstreams(): UpstreamEntry[]
  find(id: string): AdapterEntry | WholeEntry | UpstreamEntry | undefined
  /** Looks into the entity store now; callers at the same time share one look. Never rejects. */
  refresh(): Promise<void>
  stop(): Promise<void>
}

export interface DiscoveryOptions {
  entities: EntityStoreClient
  store: DataStoreClient
  bases: BaseModels
  embedders: Pick<Embedders, 'parent' | 'weightsOf' | 'tuned'>
  dir: string
  log: Logger
  intervalMs: number
}

/** With very many entities a look takes long: the pause after it is at least this many times as long. */
const REST = 20
const LONGEST_LOAD_MS = 3_600_000

interface Known {
  stamp: string
  retryAt: number
  entry: AdapterEntry
}

/**
 * Follows the entity store as a NIM does: adapters that appear are downloaded, converted and served, adapters that
 * go are unloaded. A look that finds nothing changed costs one small request.
 */
export function startDiscovery(options: DiscoveryOptions): Discovery {
  const { entities, bases, log } = options
  const abort = new AbortController()
  const known = new Map<string, Known>()
  const wholes = createWholeModels({ ...options, signal: abort.signal })
  const awaited = new Set<string>()
  let upstreams = new Map<string, UpstreamEntry>()
  let mark: string | undefined
  let looking: Promise<void> | undefined
  let again: Promise<void> | undefined
  let failing = ''
  let timer: NodeJS.Timeout | undefined

  async function look(): Promise<void> {
    const now = await newestMark(entities)
    const due = [...known.values()].some((k) => k.retryAt <= Date.now())
    if (now === mark && !due && !wholes.isDue()) return
    const found = new Map<string, Model>()
    for await (const model of entities.models.all({ filter: { peft: true } })) {
      if (isServable(model)) found.set(nameOf(model), model)
    }
    for (const [id, { entry }] of known) {
      if (!found.has(id)) forget(id, entry)
    }
    for (const [id, model] of found) await follow(id, model)
    const others = new Map<string, UpstreamEntry>()
    for await (const model of entities.models.all({ filter: { api_endpoint: true } })) {
      const upstream = upstreamOf(model)
      if (upstream) others.set(upstream.id, upstream)
    }
    upstreams = others
    // Last, since they take longest.
    await wholes.update(entities.models.all({ filter: { artifact: true, peft: false } }))
    mark = now
    const used = [...known.values()].flatMap((k) => keyOf(k.entry) ?? [])
    await sweepArtifacts(options.dir, new Set([...used, ...wholes.keys()]))
  }

  function forget(id: string, entry: AdapterEntry): void {
    known.delete(id)
    const key = keyOf(entry)
    if (key) entry.base.engine.unload(key)
    log.info({ adapter: id }, 'adapter is gone')
  }

  async function follow(id: string, model: Model): Promise<void> {
    const old = known.get(id)
    if (old && old.stamp === model.updated_at && old.retryAt > Date.now()) return
    const base = findBase(bases, model)
    if (!base) {
      if (old) forget(id, old.entry)
      log.debug({ adapter: id, base: model.base_model }, 'adapter of a model that is not served here')
      return
    }
    const entry = { id, base, created: seconds(model.created_at) }
    const before = old && keyOf(old.entry)
    try {
      const artifact = await prepare(options, base, model, abort.signal)
      if (before && before !== artifact.key) base.engine.unload(before)
      known.set(id, {
        stamp: model.updated_at,
        retryAt: Number.POSITIVE_INFINITY,
        entry: { ...entry, state: { is: 'ready', artifact } },
      })
      if (before !== artifact.key) log.info({ adapter: id, base: base.model.id }, 'adapter is served')
    } catch (err) {
      if (!abort.signal.aborted) known.set(id, { stamp: model.updated_at, ...failed(entry, err) })
    }
  }

  function failed(entry: Omit<AdapterEntry, 'state'>, err: unknown): Omit<Known, 'stamp'> {
    const reason = err instanceof Error ? err.message : String(err)
    const final = isFinal(err)
    const waits = err instanceof EngineError
    if (waits) lookWhenReady(entry.base)
    else log.warn({ adapter: entry.id, reason, final }, 'adapter cannot be served')
    return {
      retryAt: final ? Number.POSITIVE_INFINITY : Date.now() + (waits ? 0 : RETRY_MS),
      entry: { ...entry, state: { is: 'failed', reason, final } },
    }
  }

  function lookWhenReady({ model, engine }: BaseModel): void {
    if (awaited.has(model.id)) return
    awaited.add(model.id)
    void engine
      .ready(LONGEST_LOAD_MS)
      .then(refresh, () => undefined)
      .finally(() => awaited.delete(model.id))
  }

  function lookOnce(): Promise<void> {
    looking = look()
      .then(() => {
        failing = ''
      })
      .catch((err) => {
        if (abort.signal.aborted) return
        const message = err instanceof Error ? err.message : String(err)
        if (message !== failing) log.warn({ err: message }, 'the entity store cannot be read')
        failing = message
      })
      .finally(() => {
        looking = undefined
      })
    return looking
  }

  // A look under way may have passed what the caller wants to see: the next one has not.
  function refresh(): Promise<void> {
    if (!looking) return lookOnce()
    again ??= looking.then(() => {
      again = undefined
      return looking ?? lookOnce()
    })
    return again
  }

  const tick = () => {
    if (abort.signal.aborted) return
    const begun = performance.now()
    void (looking ?? lookOnce()).then(() => {
      const wait = Math.max(options.intervalMs, (performance.now() - begun) * REST)
      if (!abort.signal.aborted) timer = setTimeout(tick, wait)
    })
  }
  timer = setTimeout(tick, 100)

  return {
    adapters: () => [...known.values()].map((k) => k.entry),
    wholes: wholes.entries,
    upstreams: () => [...upstreams.values()],
    find: (id) => known.get(id)?.entry ?? wholes.find(id) ?? upstreams.get(id),
    refresh,
    stop: async () => {
      abort.abort()
      clearTimeout(timer)
      await looking?.catch(() => undefined)
    },
  }
}

/** Changes whenever a model is made, changed or deleted. */
async function newestMark(entities: EntityStoreClient): Promise<string> {
  const page = await entities.models.list({ page_size: 1, sort: '-updated_at' })
  const [newest] = page.data
  return `${page.pagination.total_results} ${newest?.id} ${newest?.updated_at}`
}

function isServable(model: Model): boolean {
  return (
    model.peft?.finetuning_type === 'lora' &&
    model.artifact?.status === 'upload_completed' &&
    !model.api_endpoint
  )
}

function upstreamOf(model: Model): UpstreamEntry | undefined {
  if (!model.api_endpoint) return undefined
  const { url, model_id, api_key } = model.api_endpoint
  // Without the platform's token the store shows only that there is a key.
  const key = api_key === MASK ? undefined : api_key
  return { id: nameOf(model), created: seconds(model.created_at), endpoint: { url, model_id, api_key: key } }
}

function findBase(bases: BaseModels, model: Model): BaseModel | undefined {
  const given = model.base_model
  if (!given) return undefined
  const name =
    typeof given === 'string'
      ? given
      : [given.namespace, given.name].filter((part) => typeof part === 'string').join('/')
  return bases.find(name) ?? bases.find(name.replace(/@[^@]*$/, ''))
}

async function prepare(
  options: DiscoveryOptions,
  base: BaseModel,
  model: Model,
  signal: AbortSignal,
): Promise<Artifact> {
  const target = parseFilesUrl(model.artifact?.files_url ?? '', 'artifact.files_url')
  // Not waited for: other adapters may have a base that is ready.
  const loaded = await base.engine.ready(0)
  const sha256 = base.sha256()
  if (!sha256) throw new Error('the base model is not here yet')
  const { id } = base.model
  return fetchAdapter({
    store: options.store,
    target,
    base: { id, sha256, shape: loaded.shape },
    dir: options.dir,
    signal,
  })
}

function keyOf(entry: AdapterEntry): string | undefined {
  return entry.state.is === 'ready' ? entry.state.artifact.key : undefined
}
