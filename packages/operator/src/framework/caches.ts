// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '@open-nemo/runtime/telemetry/log.ts'
import { type Change, Store } from './cache.ts'
import { isStatus, type KubeClient } from './client.ts'
import { Reflector, type WatchTimes } from './reflector.ts'
import { kindKey, type Resource, type Resources } from './resources.ts'

export interface Watched {
  apiVersion: string
  kind: string
  optional: boolean
  labelSelector?: string
  fieldSelector?: string
}

/** How often kinds that the cluster may lack are looked for. */
export const DISCOVERY_MS = 30_000

interface Entry {
  watched: Watched
  store: Store
  reflectors: Reflector[]
}

interface CachesOptions {
  client: KubeClient
  resources: Resources
  /** Namespaces in scope; [''] for all. */
  namespaces: string[]
  watched: Watched[]
  times: WatchTimes
  discoveryMs?: number
  log: Logger
  onChange(change: Change): void
  onRestart(kind: string, cause: string): void
  /** Told when a kind that the cluster may lack comes or goes. */
  onServed(): void
}

/** The stores of all watched kinds, each filled by a watch for every namespace in scope. */
export class Caches {
  readonly #entries = new Map<string, Entry>()
  readonly #options: CachesOptions
  readonly #discoveryMs: number
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(options: CachesOptions) {
    this.#options = options
    this.#discoveryMs = options.discoveryMs ?? DISCOVERY_MS
    for (const watched of options.watched) {
      const store = new Store()
      store.onChange = options.onChange
      this.#entries.set(kindKey(watched.apiVersion, watched.kind), { watched, store, reflectors: [] })
    }
  }

  store(apiVersion: string, kind: string): Store | undefined {
    return this.#entries.get(kindKey(apiVersion, kind))?.store
  }

  /** Kinds that must be filled and are not yet. */
  missing(): string[] {
    return [...this.#entries.values()]
      .filter((e) => !e.watched.optional || e.reflectors.length > 0)
      .filter((e) => e.reflectors.length === 0 || e.reflectors.some((r) => !r.synced && !r.ended))
      .map((e) => e.watched.kind)
  }

  /** Starts all watches; those of kinds that are not served start when they are. */
  async start(): Promise<void> {
    await this.#discover()
    const again = () => {
      this.#timer = setTimeout(async () => {
        await this.#discover().catch((err) => this.#options.log.warn({ err }, 'discovery failed'))
        if (!this.#stopped) again()
      }, this.#discoveryMs)
    }
    again()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    for (const { reflectors } of this.#entries.values()) for (const r of reflectors) r.stop()
  }

  async #discover(): Promise<void> {
    const { resources } = this.#options
    const optional = [...this.#entries.values()].filter((e) => e.watched.optional)
    const versions = new Set(optional.map((e) => e.watched.apiVersion))
    const served = () =>
      optional.filter(({ watched }) => resources.served(watched.apiVersion, watched.kind)).length
    const before = served()
    for (const version of versions)
      await resources.discover(version).catch((err) => {
        if (!isStatus(err, 403)) this.#options.log.warn({ err, version }, 'discovery failed; trying again')
      })
    for (const entry of this.#entries.values()) this.#ensureRunning(entry)
    if (served() !== before) this.#options.onServed()
  }

  #ensureRunning(entry: Entry): void {
    const { apiVersion, kind, optional } = entry.watched
    if (entry.reflectors.some((r) => !r.ended)) return
    const resource = this.#options.resources.find(apiVersion, kind)
    if (!resource || (optional && !this.#options.resources.served(apiVersion, kind))) {
      entry.reflectors = []
      return
    }
    entry.reflectors = this.#options.namespaces.map((namespace) => this.#run(entry, resource, namespace))
  }

  #run({ watched, store }: Entry, resource: Resource, namespace: string): Reflector {
    const { client, times, log, onRestart } = this.#options
    const reflector = new Reflector({
      client,
      resource,
      namespace,
      store,
      times,
      log,
      labelSelector: watched.labelSelector,
      fieldSelector: watched.fieldSelector,
      optional: watched.optional,
      onRestart: (cause) => onRestart(watched.kind, cause),
    })
    void reflector.run()
    return reflector
  }
}
