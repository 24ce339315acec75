// SPDX-License-Identifier: Apache-2.0
import type { LlamaContext, LlamaContextSequence, Token } from 'node-llama-cpp'
import { EngineError } from '../types.ts'

/** A sequence on loan; it remembers the tokens it holds, so that the next prompt may share their beginning. */
export interface Slot {
  sequence: LlamaContextSequence
}

interface Waiter {
  tokens: Token[]
  resolve: (slot: Slot) => void
}

/** The sequences of one context, lent to one request each; requests beyond them wait in order. */
export class SequencePool {
  readonly context: LlamaContext
  readonly contextSize: number
  #free: Slot[]
  #waiting: Waiter[] = []
  #users = 0
  #maxQueue: number

  constructor(context: LlamaContext, maxQueue: number) {
    this.context = context
    this.contextSize = context.contextSize
    this.#maxQueue = maxQueue
    this.#free = Array.from({ length: context.totalSequences }, () => ({ sequence: context.getSequence() }))
  }

  get idle(): boolean {
    return this.#users === 0
  }

  /** A free sequence, the one that shares the longest beginning with `tokens`; waits for one when all work. */
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
    let best: Slot | undefined
    let shared = -1
    for (const slot of this.#free) {
      const common = commonLength(slot.sequence.contextTokens, tokens)
      if (common > shared) {
        best = slot
        shared = common
      }
    }
    if (best) this.#free.splice(this.#free.indexOf(best), 1)
    return best
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
