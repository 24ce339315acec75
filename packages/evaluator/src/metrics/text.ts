// SPDX-License-Identifier: Apache-2.0

/** Lower case, without punctuation and articles, with single spaces: how answers are compared. */
export function normalize(text: string): string {
  return text
    .toLowerCase()
    .replace(/[!-/:-@[-`{-~]/g, '')
    .replace(/\b(a|an|the)\b/g, ' ')
    .trim()
    .split(/\s+/)
    .filter((word) => word !== '')
    .join(' ')
}

/** 1 when both texts are the same once normalized. */
export function exactMatch(reference: string, candidate: string): number {
  return normalize(reference) === normalize(candidate) ? 1 : 0
}

/** 1 when both texts are the same but for white space around them. */
export function accuracy(reference: string, candidate: string): number {
  return reference.trim() === candidate.trim() ? 1 : 0
}

/** Harmonic mean of precision and recall over the words of both texts, once normalized. */
export function tokenF1(reference: string, candidate: string): number {
  const wanted = words(reference)
  const given = words(candidate)
  if (wanted.length === 0 || given.length === 0) return wanted.length === given.length ? 1 : 0
  const left = new Map<string, number>()
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1)
  let common = 0
  for (const word of given) {
    const count = left.get(word) ?? 0
    if (count === 0) continue
    left.set(word, count - 1)
    common++
  }
  if (common === 0) return 0
  const precision = common / given.length
  const recall = common / wanted.length
  return (2 * precision * recall) / (precision + recall)
}

function words(text: string): string[] {
  const normal = normalize(text)
  return normal === '' ? [] : normal.split(' ')
}
