// SPDX-License-Identifier: Apache-2.0
import type { LlamaModel } from 'node-llama-cpp'
import type { LoadOptions } from '../protocol.ts'
import { type AdapterFile, EngineError } from '../types.ts'
import { SequencePool } from './pool.ts'

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
  #options: LoadOptions
  #loaded = new Map<string, Loaded>()
  #waiting: (() => void)[] = []

  constructor(model: LlamaModel, options: LoadOptions) {
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
    const context = await this.#model.createContext({
      contextSize: this.#options.adapterContextSize,
      sequences: this.#options.adapterSequences,
      threads: this.#options.threads,
      lora: { adapters: [{ filePath: adapter.path }] },
      failedCreationRemedy: false,
    })
    return new SequencePool(context, this.#options.maxQueue)
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
