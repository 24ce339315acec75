// SPDX-License-Identifier: Apache-2.0
import type { LlamaModel } from 'node-llama-cpp'
import { type AdapterFile, EngineError } from '../types.ts'
import { SequencePool } from './pool.ts'

export interface PoolOptions {
  /** Of one sequence, in tokens. */
  contextSize: number
  sequences: number
  threads: number
  /** Most adapters in memory at once; the one idle longest goes first. */
  maxAdapters: number
  maxQueue: number
  /** Keeps attention in 32 bits, for log-probabilities that agree with other engines' to 1e-3. */
  exact?: boolean
}

/** The weights alone, where a pool of them is asked for as of an adapter. */
export const NO_ADAPTER: AdapterFile = { key: '', path: '' }

interface Loaded {
  pool: Promise<SequencePool>
  /** Requests that hold it, from before they wait for a sequence until they end. */
  users: number
  lastUsed: number
  /** Asked to leave; goes as soon as nobody holds it. */
  leaving: boolean
}

/** The adapters in memory: one context each, at most `maxAdapters`, the longest idle one leaves for a new one. */
export class AdapterPools {
  #model: LlamaModel
  #options: PoolOptions
  #loaded = new Map<string, Loaded>()
  #waiting: (() => void)[] = []

  constructor(model: LlamaModel, options: PoolOptions) {
    this.#model = model
    this.#options = options
  }

  /** The adapter's pool, loaded when it is not there; call the returned `done` when the request has ended. */
  async hold(adapter: AdapterFile, signal: AbortSignal): Promise<{ pool: SequencePool; done: () => void }> {
    const entry = await this.#entry(adapter, signal)
    const done = () => this.#drop(adapter.key, entry)
    try {
      return { pool: await entry.pool, done }
    } catch (cause) {
      done()
      const words = cause instanceof Error ? cause.message : String(cause)
      throw new EngineError('adapter_failed', `the adapter could not be loaded: ${words}`)
    }
  }

  unload(key: string): void {
    const entry = this.#loaded.get(key)
    if (!entry) return
    entry.leaving = true
    if (entry.users === 0) this.#evict(key, entry)
  }

  async #entry(adapter: AdapterFile, signal: AbortSignal): Promise<Loaded> {
    for (;;) {
      signal.throwIfAborted()
      const known = this.#loaded.get(adapter.key)
      if (known) {
        known.users++
        known.leaving = false
        return known
      }
      if (this.#loaded.size < this.#options.maxAdapters || this.#evictIdle()) {
        const entry: Loaded = { pool: this.#load(adapter), users: 1, lastUsed: Date.now(), leaving: false }
        this.#loaded.set(adapter.key, entry)
        entry.pool.catch(() => {
          if (this.#loaded.get(adapter.key) === entry) this.#loaded.delete(adapter.key)
        })
        return entry
      }
      await this.#roomMade(signal)
    }
  }

  async #load(adapter: AdapterFile): Promise<SequencePool> {
    const { contextSize, sequences, threads, exact, maxQueue } = this.#options
    const wide = {
      flashAttention: false,
      experimentalKvCacheKeyType: 'F32',
      experimentalKvCacheValueType: 'F32',
    }
    const options = {
      contextSize,
      sequences,
      threads,
      ...(adapter.path ? { lora: { adapters: [{ filePath: adapter.path }] } } : {}),
      ...(exact ? (wide as { flashAttention: false }) : {}),
    }
    return SequencePool.create(this.#model, options, maxQueue)
  }

  #drop(key: string, entry: Loaded): void {
    entry.users--
    entry.lastUsed = Date.now()
    if (entry.users > 0) return
    if (entry.leaving) this.#evict(key, entry)
    for (const wake of this.#waiting.splice(0)) wake()
  }

  #evictIdle(): boolean {
    const idle = [...this.#loaded].filter(([, entry]) => entry.users === 0)
    idle.sort(([, a], [, b]) => a.lastUsed - b.lastUsed)
    const [oldest] = idle
    if (!oldest) return false
    this.#evict(...oldest)
    return true
  }

  #evict(key: string, entry: Loaded): void {
    if (this.#loaded.get(key) === entry) this.#loaded.delete(key)
    entry.pool.then((pool) => pool.dispose()).catch(() => undefined)
  }

  #roomMade(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => reject(signal.reason)
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(() => {
        signal.removeEventListener('abort', leave)
        resolve()
      })
    })
  }
}
