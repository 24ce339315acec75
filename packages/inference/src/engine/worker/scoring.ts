// SPDX-License-Identifier: Apache-2.0
import type { Llama, LlamaModel } from 'node-llama-cpp'
import type { AdapterFile } from '../types.ts'
import { AdapterPools, NO_ADAPTER, type PoolOptions } from './adapters.ts'
import type { SequencePool } from './pool.ts'

/** Prompts scored at once: each fills a batch alone. */
const SEQUENCES = 2
/** Weights with and without an adapter that stay in memory. */
const MAX_POOLS = 2

/** Where prompts are scored: weights and attention in 32 bits, loaded when the first prompt asks for it. */
export class Scoring {
  #llama: Llama
  #served: LlamaModel
  #options: PoolOptions
  #pools = new Map<string, Promise<AdapterPools>>()

  constructor(llama: Llama, served: LlamaModel, options: PoolOptions) {
    this.#llama = llama
    this.#served = served
    this.#options = { ...options, sequences: SEQUENCES, maxAdapters: MAX_POOLS, exact: true }
  }

  /** The sequences that score on these weights (the served ones when absent); call `done` at the end. */
  async hold(
    weights: string | undefined,
    adapter: AdapterFile | undefined,
    signal: AbortSignal,
  ): Promise<{ pool: SequencePool; done: () => void }> {
    const key = weights ?? ''
    let pools = this.#pools.get(key)
    if (!pools) {
      pools = this.#load(weights)
      pools.catch(() => this.#pools.delete(key))
      this.#pools.set(key, pools)
    }
    return (await pools).hold(adapter ?? NO_ADAPTER, signal)
  }

  async #load(weights: string | undefined): Promise<AdapterPools> {
    const model = weights
      ? await this.#llama.loadModel({ modelPath: weights, gpuLayers: 0, useMlock: false })
      : this.#served
    return new AdapterPools(model, this.#options)
  }

  async unload(key: string): Promise<void> {
    for (const pools of this.#pools.values()) (await pools).unload(key)
  }
}
