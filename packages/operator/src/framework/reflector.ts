// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '@open-nemo/runtime/telemetry/log.ts'
import { keyOf, type Store } from './cache.ts'
import { isStatus, type KubeClient, KubeError, type WatchLine } from './client.ts'
import { type Resource, resourcePath } from './resources.ts'
import type { KubeObject } from './types.ts'

/** Times of a watch. Those below are what docs/operators.md promises. */
export interface WatchTimes {
  /** The server is asked to end each watch after this time, … */
  watchMs: number
  /** … and one that lasts this much longer has lost its server without a word. */
  graceMs: number
  /** Everything is listed again this often, which finds events that a watch swallowed one by one. */
  resyncMs: number
  firstRetryMs: number
  lastRetryMs: number
}

export const WATCH_TIMES: WatchTimes = {
  watchMs: 20_000,
  graceMs: 4_000,
  resyncMs: 120_000,
  firstRetryMs: 250,
  lastRetryMs: 5_000,
}

const PAGE = 100

export interface ReflectorOptions {
  client: KubeClient
  resource: Resource
  /** '' for all namespaces. */
  namespace: string
  labelSelector?: string
  fieldSelector?: string
  store: Store
  times: WatchTimes
  log: Logger
  /** Whether a kind that is not served (404) ends the reflector, as for kinds that a cluster may lack. */
  optional: boolean
  onRestart(cause: string): void
}

/** Keeps a store equal to the API server by list and watch, whatever happens to either. */
export class Reflector {
  readonly #options: ReflectorOptions
  readonly #stop = new AbortController()
  #version = ''
  #listAgainAt = 0
  #synced = false
  #failures = 0
  #ended = false

  constructor(options: ReflectorOptions) {
    this.#options = options
  }

  /** Whether the store has been filled once. */
  get synced(): boolean {
    return this.#synced
  }

  /** Whether it ended because the kind is not served (any more). */
  get ended(): boolean {
    return this.#ended
  }

  stop(): void {
    this.#stop.abort()
  }

  /** Runs until stopped, or until the API server no longer serves an optional kind. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        await this.#round()
        this.#failures = 0
      } catch (err) {
        if (this.#stop.signal.aborted) break
        if (this.#options.optional && isStatus(err, 404)) {
          this.#options.store.retain(this.#options.namespace, new Set())
          break
        }
        await this.#recover(err)
      }
    }
    this.#ended = true
  }

  async #round(): Promise<void> {
    if (!this.#version || Date.now() > this.#listAgainAt) await this.#list()
    await this.#watch()
  }

  async #recover(err: unknown): Promise<void> {
    const { times, log, resource, onRestart } = this.#options
    const cause = err instanceof KubeError ? err.reason : 'Error'
    onRestart(cause)
    // The version is too old to watch from: the list tells what was missed.
    if (isStatus(err, 410, 400)) this.#version = ''
    if (isStatus(err, 410)) return
    const known = this.#failures++
    if (known === 0 || isStatus(err, 403))
      log.warn({ kind: resource.kind, cause, detail: message(err) }, 'watch interrupted; trying again')
    const ms = Math.min(times.firstRetryMs * 2 ** known, times.lastRetryMs) * (0.75 + Math.random() / 2)
    const wait = err instanceof KubeError && err.retryAfterMs ? Math.min(err.retryAfterMs, 10_000) : ms
    await sleep(wait, undefined, { signal: this.#stop.signal }).catch(() => undefined)
  }

  async #list(): Promise<void> {
    const { client, resource, namespace, store, labelSelector, fieldSelector } = this.#options
    // Page by page: all of a kind at once would be the most memory that an operator ever takes.
    const present = new Set<string>()
    let continued: string | undefined
    let version = ''
    do {
      const page = await client.request({
        path: resourcePath(resource, namespace),
        query: { limit: PAGE, continue: continued, labelSelector, fieldSelector },
        signal: this.#stop.signal,
        timeoutMs: 30_000,
      })
      for (const item of page.items ?? []) {
        store.upsert(this.#typed(item))
        present.add(keyOf(item))
      }
      continued = page.metadata?.continue || undefined
      version = page.metadata?.resourceVersion ?? ''
    } while (continued)
    store.retain(namespace, present, version)
    this.#version = version
    // Not all kinds at the same moment.
    this.#listAgainAt = Date.now() + this.#options.times.resyncMs * (0.75 + Math.random() / 4)
    this.#synced = true
  }

  async #watch(): Promise<void> {
    const { client, resource, namespace, times, labelSelector, fieldSelector } = this.#options
    await client.watch(
      {
        path: resourcePath(resource, namespace),
        query: {
          watch: true,
          allowWatchBookmarks: true,
          resourceVersion: this.#version,
          timeoutSeconds: Math.max(1, Math.round(times.watchMs / 1000)),
          labelSelector,
          fieldSelector,
        },
        signal: this.#stop.signal,
      },
      times.watchMs + times.graceMs,
      (line) => this.#take(line),
    )
  }

  #take({ type, object }: WatchLine): void {
    if (type === 'ERROR')
      throw new KubeError({
        status: Number(object?.code ?? 0),
        reason: String(object?.reason ?? 'WatchError'),
        message: String(object?.message ?? 'the watch ended with an error'),
      })
    this.#version = object.metadata?.resourceVersion ?? this.#version
    if (type === 'BOOKMARK') return
    if (type === 'DELETED') this.#options.store.remove(this.#typed(object))
    else this.#options.store.upsert(this.#typed(object))
  }

  /** Lists leave out the type of their items. */
  #typed(object: KubeObject): KubeObject {
    const { apiVersion, kind } = this.#options.resource
    return { ...object, apiVersion, kind }
  }
}

const message = (err: unknown) => (err instanceof Error ? err.message : String(err))
