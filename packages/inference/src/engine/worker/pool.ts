// SPDX-License-Identifier: Apache-2.0
import type {
  LlamaContext,
  LlamaContextOptions,
  LlamaContextSequence,
  LlamaModel,
  Token,
} from 'node-llama-cpp'
import { EngineError } from '../types.ts'
import { Batching } from './batching.ts'

/** A sequence on loan; it remembers the tokens it holds, so that the next prompt may share their beginning. */
export interface Slot {
  /** From 0, in the order in which llama.cpp numbers sequences. */
  index: number
  sequence: LlamaContextSequence
}

/** A prompt's beginning that is shorter than this is computed anew faster than batches are cut for it. */
const WORTH_SHARING = 256

interface Waiter {
  tokens: Token[]
  resolve: (slot: Slot) => void
}

/** The sequences of one context, lent to one request each; requests beyond them wait in order. */
export class SequencePool {
  readonly context: LlamaContext
  readonly contextSize: number
  readonly batching: Batching
  #free: Slot[]
  #waiting: Waiter[] = []
  #users = 0
  #maxQueue: number

  constructor(context: LlamaContext, batching: Batching, maxQueue: number) {
    this.context = context
    this.batching = batching
    this.contextSize = context.contextSize
    this.#maxQueue = maxQueue
    this.#free = Array.from({ length: context.totalSequences }, (_, index) => ({
      index,
      sequence: context.getSequence(),
    }))
  }

  /** Makes a context and the pool of its sequences. */
  static async create(
    model: LlamaModel,
    options: Omit<LlamaContextOptions, 'batching'>,
    maxQueue: number,
  ): Promise<SequencePool> {
    const batching = new Batching()
    const context = await model.createContext({
      ...options,
      batching: batching.options,
      failedCreationRemedy: false,
    })
    return new SequencePool(context, batching, maxQueue)
  }

  get idle(): boolean {
    return this.#users === 0
  }

  /** A free sequence, one that shares a long beginning with `tokens` if any does; waits for one when all work. */
  async acquire(tokens: Token[], signal: AbortSignal): Promise<Slot> {
    signal.throwIfAborted()
    this.#users++
    const slot = this.#take(tokens)
    if (slot) return slot
    if (this.#waiting.length >= this.#maxQueue) {
      this.#users--
      throw new EngineError('busy', `${this.#waiting.length} requests wait already`, {
        waiting: this.#waiting.length,
      })
    }
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        tokens,
        resolve: (given) => {
          signal.removeEventListener('abort', leave)
          resolve(given)
        },
      }
      const leave = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1)
        this.#users--
        reject(signal.reason)
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(waiter)
    })
  }

  release(slot: Slot): void {
    this.#users--
    this.#free.push(slot)
    const next = this.#waiting.shift()
    if (!next) return
    const given = this.#take(next.tokens)
    if (given) next.resolve(given)
  }

  #take(tokens: Token[]): Slot | undefined {
    const shared = (slot: Slot) => {
      const common = commonLength(slot.sequence.contextTokens, tokens)
      return common < WORTH_SHARING ? 0 : common
    }
    let best: { slot: Slot; shared: number } | undefined
    // Those at work stay close together when the first of equals is taken.
    for (const slot of this.#free.sort((a, b) => a.index - b.index)) {
      const common = shared(slot)
      if (!best || common > best.shared) best = { slot, shared: common }
    }
    if (best) this.#free.splice(this.#free.indexOf(best.slot), 1)
    return best?.slot
  }

  async dispose(): Promise<void> {
    await this.context.dispose()
  }
}

function commonLength(a: readonly Token[], b: readonly Token[]): number {
  const limit = Math.min(a.length, b.length)
  let n = 0
  while (n < limit && a[n] === b[n]) n++
  return n
}
