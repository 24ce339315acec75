// SPDX-License-Identifier: Apache-2.0
import type { NerEntity } from '../engine/compiled.ts'
import { findInjections, omitInjections } from '../rails/injection-rules.ts'
import { findPatterns } from '../rails/sensitive/detect.ts'
import { findNames } from '../rails/sensitive/names.ts'
import type { Pattern } from './python.ts'

/** What is looked for in a text. */
export type Looking =
  | { kind: 'test' | 'find'; patterns: readonly Pattern[]; text: string }
  | { kind: 'injections' | 'omit'; kinds: readonly string[]; text: string }
  | { kind: 'entities'; entities: readonly string[]; threshold: number; text: string }

export interface Job {
  id: number
  looking: Looking
}

const MAX_FOUND = 10_000
const compiled = new Map<string, RegExp>()

/** Looks through a text; in a thread for what may take long. */
export function look(looking: Looking): unknown {
  const { text } = looking
  switch (looking.kind) {
    case 'test':
      return looking.patterns.flatMap((p, i) => (regexOf(p, false).test(text) ? [i] : []))
    case 'find':
      return places(looking.patterns, text)
    case 'injections':
      return findInjections(text, looking.kinds)
    case 'omit':
      return omitInjections(text, looking.kinds)
    case 'entities':
      return entities(looking.entities, looking.threshold, text)
  }
}

function entities(wanted: readonly string[], threshold: number, text: string): NerEntity[] {
  const names = findNames(text, wanted).filter((f) => f.score >= threshold)
  return [...findPatterns(text, wanted, threshold), ...names]
}

function places(patterns: readonly Pattern[], text: string): [number, number, number][] {
  const found: [number, number, number][] = []
  for (const [i, pattern] of patterns.entries()) {
    for (const match of text.matchAll(regexOf(pattern, true))) {
      if (match[0] !== '') found.push([i, match.index, match.index + match[0].length])
      if (found.length >= MAX_FOUND) return found
    }
  }
  return found
}

function regexOf({ source, flags }: Pattern, all: boolean): RegExp {
  const key = `${all ? 'g' : ''}${flags}/${source}`
  let regex = compiled.get(key)
  if (!regex) {
    if (compiled.size > 1000) compiled.clear()
    regex = new RegExp(source, all ? `${flags}g` : flags)
    compiled.set(key, regex)
  }
  return regex
}
