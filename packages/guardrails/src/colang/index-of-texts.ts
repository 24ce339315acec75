// SPDX-License-Identifier: Apache-2.0
import type { DialogTurn } from '../engine/types.ts'

/** A text of a configuration with the name it stands for, and how near it is to what was looked for: 1 is the same. */
export interface Near {
  text: string
  name: string
  similarity: number
}

/**
 * Finds the most similar of a configuration's texts: by embeddings, or by shared words where there is no embedder.
 * Their vectors are made once, when first needed.
 */
export class Index {
  readonly names: string[]
  private readonly entries: { text: string; name: string }[]
  private words: Set<string>[] | undefined
  private vectors: Promise<Float64Array[]> | undefined

  constructor(entries: Iterable<{ text: string; name: string }>) {
    this.entries = [...entries]
    this.names = [...new Set(this.entries.map((one) => one.name))]
  }

  /** The `count` nearest, nearest first. */
  async nearest(text: string, count: number, turn: Pick<DialogTurn, 'embed'>): Promise<Near[]> {
    if (this.entries.length === 0) return []
    const scores = (await this.byVectors(text, turn)) ?? this.byWords(text)
    return this.entries
      .map((one, at) => ({ ...one, similarity: scores[at] ?? 0 }))
      .sort((a, b) => b.similarity - a.similarity)
      .slice(0, count)
  }

  private byWords(text: string): number[] {
    this.words ??= this.entries.map((one) => words(one.text))
    const own = words(text)
    return this.words.map((some) => shared(own, some))
  }

  private async byVectors(text: string, turn: Pick<DialogTurn, 'embed'>): Promise<number[] | undefined> {
    try {
      this.vectors ??= turn.embed(this.entries.map((one) => one.text)).then((all) => all.map(unit))
      const [vectors, [own]] = await Promise.all([this.vectors, turn.embed([text])])
      const vector = unit(own ?? [])
      return vectors.map((one) => nearness(dot(one, vector)))
    } catch {
      // The next turn tries again: the embedder may only have been starting.
      this.vectors = undefined
      return undefined
    }
  }
}

function unit(vector: number[]): Float64Array {
  const length = Math.hypot(...vector) || 1
  return Float64Array.from(vector, (value) => value / length)
}

/** Cosines as the toolkit scores them, by the distance of the vectors, since thresholds are given for that. */
const nearness = (cosine: number) => 1 - Math.sqrt(Math.max(0, 2 - 2 * cosine)) / 2

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let at = 0; at < a.length; at++) sum += (a[at] ?? 0) * (b[at] ?? 0)
  return sum
}

/** Share of the words of two texts that they have in common, 0..1. */
function shared(left: ReadonlySet<string>, right: ReadonlySet<string>): number {
  let common = 0
  for (const word of left) if (right.has(word)) common += 1
  return common === 0 ? 0 : (2 * common) / (left.size + right.size)
}

const words = (text: string) => new Set(text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [])
