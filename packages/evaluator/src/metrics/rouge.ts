// SPDX-License-Identifier: Apache-2.0
import { stem } from './porter.ts'

export type RougeName = 'rouge_1_score' | 'rouge_2_score' | 'rouge_3_score' | 'rouge_L_score'

const stems = new Map<string, string>()
const CACHED = 50_000

/** The F-measures of ROUGE-1, -2, -3 and -L as `rouge-score` computes them with its stemmer. */
export function rouge(reference: string, candidate: string): Record<RougeName, number> {
  const target = tokenize(reference)
  const prediction = tokenize(candidate)
  return {
    rouge_1_score: ngramScore(target, prediction, 1),
    rouge_2_score: ngramScore(target, prediction, 2),
    rouge_3_score: ngramScore(target, prediction, 3),
    rouge_L_score: lcsScore(target, prediction),
  }
}

function tokenize(text: string): string[] {
  return text
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '')
    .map((word) => (word.length > 3 ? cachedStem(word) : word))
}

function cachedStem(word: string): string {
  const known = stems.get(word)
  if (known !== undefined) return known
  if (stems.size >= CACHED) stems.clear()
  const found = stem(word)
  stems.set(word, found)
  return found
}

function ngramScore(target: string[], prediction: string[], n: number): number {
  const wanted = countNgrams(target, n)
  let common = 0
  for (const [ngram, count] of countNgrams(prediction, n)) common += Math.min(count, wanted.get(ngram) ?? 0)
  return fMeasure(
    common / Math.max(prediction.length - n + 1, 1),
    common / Math.max(target.length - n + 1, 1),
  )
}

function countNgrams(tokens: string[], n: number): Map<string, number> {
  const counts = new Map<string, number>()
  for (let i = 0; i + n <= tokens.length; i++) {
    const ngram = n === 1 ? (tokens[i] as string) : tokens.slice(i, i + n).join(' ')
    counts.set(ngram, (counts.get(ngram) ?? 0) + 1)
  }
  return counts
}

function lcsScore(target: string[], prediction: string[]): number {
  if (target.length === 0 || prediction.length === 0) return 0
  const length = lcsLength(target, prediction)
  return fMeasure(length / prediction.length, length / target.length)
}

/** Length of the longest common subsequence, with one row of the table in memory. */
function lcsLength(a: string[], b: string[]): number {
  const row = new Uint32Array(b.length + 1)
  for (const token of a) {
    let diagonal = 0
    for (let j = 1; j <= b.length; j++) {
      const above = row[j] as number
      row[j] = token === b[j - 1] ? diagonal + 1 : Math.max(above, row[j - 1] as number)
      diagonal = above
    }
  }
  return row[b.length] as number
}

function fMeasure(precision: number, recall: number): number {
  return precision + recall > 0 ? (2 * precision * recall) / (precision + recall) : 0
}
