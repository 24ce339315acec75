// SPDX-License-Identifier: Apache-2.0
import type { BatchingOptions, EvaluationPriority } from 'node-llama-cpp'

type Strategy = Exclude<NonNullable<BatchingOptions['itemPrioritizationStrategy']>, string>

/** A sequence comes back a few passes after the others, since its token is drawn last; more than these is not late. */
const MOST_PASSES = 32

/**
 * Puts the sequences of one context into batches as llama.cpp computes them together: all that generate, in the order
 * of their numbers. It cuts a batch wherever the next sequence does not have the next number, and eight parts with one
 * token each take several times as long as one part with eight.
 */
export class Batching {
  #generating = 0
  #passes = 0

  /** For the context. */
  get options(): BatchingOptions {
    return { itemPrioritizationStrategy: (waiting) => this.next(waiting) }
  }

  /** What a sequence evaluates with, so that its place is known: priorities mean nothing else here. */
  static place(sequence: number): EvaluationPriority {
    return sequence as EvaluationPriority
  }

  /** Runs while a sequence generates, which the next batch then waits for. */
  async *together<T>(steps: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
    this.#generating++
    try {
      yield* steps
    } finally {
      this.#generating--
    }
  }

  /** The next batch of at most `size` tokens; an empty one lets those that are on their way come. */
  next: Strategy = ({ items, size }) => {
    if (items.length < this.#generating && this.#passes < MOST_PASSES) {
      this.#passes++
      return []
    }
    this.#passes = 0
    const ordered = items.toSorted((a, b) => a.evaluationPriority - b.evaluationPriority)
    // Each gets a fair share; what shorter ones leave goes to the first of the longer ones.
    const share = Math.max(1, Math.floor(size / items.length))
    const batch = ordered.map((item) => ({ item, processAmount: Math.min(item.tokens.length, share) }))
    let left = size - batch.reduce((sum, { processAmount }) => sum + processAmount, 0)
    for (const each of batch) {
      const more = Math.min(left, each.item.tokens.length - each.processAmount)
      each.processAmount += Math.max(0, more)
      left -= Math.max(0, more)
    }
    return batch
  }
}
