// SPDX-License-Identifier: Apache-2.0

export interface Scored {
  /** Token-F1 of SQuAD, 0 to 1. */
  f1: number
  /** F-measure of ROUGE-L on lower-case words without stemming, 0 to 1. */
  rougeL: number
  exact: boolean
  /** The reference's words stand in the answer in order: says whether a long answer was right all the same. */
  contains: boolean
}

/** Compares an answer with the reference; wording counts, case, punctuation and articles do not. */
export function score(answer: string, reference: string): Scored {
  const given = normalise(answer)
  const wanted = normalise(reference)
  const joined = ` ${given.join(' ')} `
  return {
    f1: fMeasure(overlap(given, wanted), given.length, wanted.length),
    rougeL: rougeL(words(answer), words(reference)),
    exact: given.join(' ') === wanted.join(' '),
    contains: wanted.length > 0 && joined.includes(` ${wanted.join(' ')} `),
  }
}

export interface Summary extends Record<'f1' | 'rougeL' | 'exact' | 'contains', number> {
  rows: number
}

/** Means over all rows; `exact` and `contains` become shares. */
export function summarise(scores: Scored[]): Summary {
  const mean = (of: (s: Scored) => number) => scores.reduce((sum, s) => sum + of(s), 0) / (scores.length || 1)
  return {
    rows: scores.length,
    f1: mean((s) => s.f1),
    rougeL: mean((s) => s.rougeL),
    exact: mean((s) => Number(s.exact)),
    contains: mean((s) => Number(s.contains)),
  }
}

function words(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []
}

function normalise(text: string): string[] {
  const plain = text.toLowerCase().replaceAll(/[^\p{L}\p{N}\s]/gu, '')
  return plain.split(/\s+/).filter((word) => word !== '' && !['a', 'an', 'the'].includes(word))
}

function overlap(a: string[], b: string[]): number {
  const left = [...b]
  let common = 0
  for (const word of a) {
    const at = left.indexOf(word)
    if (at < 0) continue
    left.splice(at, 1)
    common++
  }
  return common
}

function rougeL(a: string[], b: string[]): number {
  let row = new Array<number>(b.length + 1).fill(0)
  for (const word of a) {
    const next = [0]
    for (let j = 0; j < b.length; j++) {
      next.push(word === b[j] ? (row[j] ?? 0) + 1 : Math.max(row[j + 1] ?? 0, next[j] ?? 0))
    }
    row = next
  }
  return fMeasure(row[b.length] ?? 0, a.length, b.length)
}

function fMeasure(common: number, given: number, wanted: number): number {
  return common === 0 ? 0 : (2 * common) / (given + wanted)
}
