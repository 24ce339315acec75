// SPDX-License-Identifier: Apache-2.0
import type { NerEntity } from '../../engine/compiled.ts'
import { RECOGNIZERS, type Recognizer } from './recognizers.ts'

const CONTEXT_CHARS = 60

/** Entities that patterns find in a text, those of at least `threshold` certainty. */
export function findPatterns(text: string, entities: readonly string[], threshold: number): NerEntity[] {
  return RECOGNIZERS.filter((r) => entities.includes(r.entity)).flatMap((recognizer) =>
    [...text.matchAll(recognizer.pattern)].flatMap((match) => {
      const found = recognizer.trim ? recognizer.trim(match[0]) : match[0]
      if (found === '') return []
      if (recognizer.valid && !recognizer.valid(found)) return []
      const score = scoreOf(recognizer, text, match.index)
      if (score < threshold) return []
      return [{ entity_type: recognizer.entity, start: match.index, end: match.index + found.length, score }]
    }),
  )
}

function scoreOf({ score, context }: Recognizer, text: string, at: number): number {
  if (!context) return score
  return context.words.test(text.slice(Math.max(0, at - CONTEXT_CHARS), at)) ? context.score : score
}

/** Of entities that overlap, the surest, then the longest; in the order of the text. */
export function withoutOverlaps(found: readonly NerEntity[]): NerEntity[] {
  const best = [...found].sort(
    (a, b) => b.score - a.score || b.end - b.start - (a.end - a.start) || a.start - b.start,
  )
  const kept: NerEntity[] = []
  // Sorted by place, an entity can only overlap its neighbours.
  const taken: [number, number][] = []
  for (const entity of best) {
    const at = lowerBound(taken, entity.start)
    const [before, after] = [taken[at - 1], taken[at]]
    if ((before && before[1] > entity.start) || (after && after[0] < entity.end)) continue
    taken.splice(at, 0, [entity.start, entity.end])
    kept.push(entity)
  }
  return kept.sort((a, b) => a.start - b.start)
}

function lowerBound(spans: [number, number][], start: number): number {
  let low = 0
  let high = spans.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((spans[middle]?.[0] ?? 0) < start) low = middle + 1
    else high = middle
  }
  return low
}

/** The text with `<ENTITY>` where each entity was. */
export function masked(text: string, found: readonly NerEntity[]): string {
  let out = ''
  let at = 0
  for (const { start, end, entity_type } of found) {
    out += `${text.slice(at, start)}<${entity_type}>`
    at = end
  }
  return out + text.slice(at)
}
