// SPDX-License-Identifier: Apache-2.0
import { withoutReasoning } from '../engine/text.ts'

/** What a judge's answer means. `unclear` answers do not follow the format that was asked for. */
export interface Verdict {
  verdict: 'safe' | 'unsafe' | 'unclear'
  /** Categories that were violated, as the judge names them. */
  categories: string[]
}
export type OutputParser = (answer: string) => Verdict

const safe: Verdict = { verdict: 'safe', categories: [] }
const unclear: Verdict = { verdict: 'unclear', categories: [] }
const unsafe = (categories: string[] = []): Verdict => ({ verdict: 'unsafe', categories })

const words = (text: string): string[] => text.toLowerCase().match(/[a-z]+/g) ?? []

/**
 * Reads the answer to "should this be blocked?". Only a plain no lets the text pass: an answer that says yes
 * anywhere, or neither, blocks it, so that a text that puts words into the judge's mouth gains nothing.
 */
export function parseShouldBlock(answer: string): Verdict {
  const said = words(withoutReasoning(answer))
  const allows = said[0] === 'no' || said[0] === 'safe'
  const blocks = said.some((w) => w === 'yes' || w === 'unsafe')
  return allows && !blocks ? safe : unsafe()
}

/** The opposite question, "is this fine?": only a plain yes passes. */
export function parseIsFine(answer: string): Verdict {
  const said = words(withoutReasoning(answer))
  return said[0] === 'yes' && !said.some((w) => w === 'no') ? safe : unsafe()
}

/** Llama Guard: `safe`, or `unsafe` and then the codes of the categories, `S1,S10`. Anything else is unsafe. */
export function parseLlamaGuard(answer: string): Verdict {
  const [first = '', ...rest] = withoutReasoning(answer).trim().split(/\s+/)
  if (first.toLowerCase() === 'safe' && !rest.some((w) => /unsafe/i.test(w))) return safe
  return unsafe(rest.join(' ').match(/\b[A-Z]{1,2}\d{1,2}\b/g) ?? [])
}

/** NemoGuard content safety about a user's message: JSON with `User Safety` and `Safety Categories`. */
export function parsePromptSafety(answer: string): Verdict {
  return fromJson(answer, 'User Safety')
}

/** NemoGuard content safety about the bot's message: JSON with `Response Safety` and `Safety Categories`. */
export function parseResponseSafety(answer: string): Verdict {
  return fromJson(answer, 'Response Safety')
}

// The whole answer must be the one object: an object that the checked text smuggled in is not the verdict.
function fromJson(answer: string, key: string): Verdict {
  const text = withoutReasoning(answer)
    .trim()
    .replace(/^```(?:json)?\s*([\s\S]*?)\s*```$/, '$1')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return unclear
  }
  if (typeof value !== 'object' || value === null) return unclear
  // JSON.parse keeps the last of two equal keys; an answer that has the key twice says nothing
  if (text.split(`"${key}"`).length > 2) return unclear
  const said = (value as Record<string, unknown>)[key]
  if (typeof said !== 'string') return unclear
  if (said.trim().toLowerCase() === 'safe') return safe
  const categories = (value as Record<string, unknown>)['Safety Categories']
  return unsafe(typeof categories === 'string' ? list(categories) : [])
}

/** Nemotron safety guards that write lines, `Prompt harm: unharmful` or `User Safety: safe`. */
function fromLines(answer: string, keys: RegExp): Verdict {
  const found = [...withoutReasoning(answer).matchAll(keys)].map((m) => (m[1] ?? '').toLowerCase())
  if (found.length !== 1) return unclear
  if (found[0] === 'safe' || found[0] === 'unharmful') return safe
  const categories = /categories:\s*(.+)/i.exec(answer)?.[1]
  return unsafe(categories ? list(categories) : [])
}

const list = (text: string) =>
  text
    .split(',')
    .map((c) => c.trim())
    .filter((c) => c !== '')

/** Topic control answers `off-topic` for what it refuses; only that blocks. */
export function parseTopic(answer: string): Verdict {
  const said = withoutReasoning(answer)
    .toLowerCase()
    .replace(/^[\s"'`*]+|[\s"'`*.!]+$/g, '')
  return said === 'off-topic' ? unsafe() : safe
}

/** "Does the evidence support it?": a no blocks, and what is unclear passes, as this rail only reports doubt. */
export function parseSupported(answer: string): Verdict {
  const said = words(withoutReasoning(answer))
  return said.includes('no') && !said.includes('yes') ? unsafe() : safe
}

const PARSERS: Record<string, OutputParser> = {
  is_content_safe: parseShouldBlock,
  self_check: parseShouldBlock,
  is_fine: parseIsFine,
  llama_guard: parseLlamaGuard,
  nemoguard_parse_prompt_safety: parsePromptSafety,
  nemoguard_parse_response_safety: parseResponseSafety,
  nemotron_content_safety_parse_prompt_safety: (a) =>
    fromLines(a, /^\s*(?:user safety|prompt harm)\s*:\s*(\w+)/gim),
  nemotron_content_safety_parse_response_safety: (a) =>
    fromLines(a, /^\s*(?:response safety|response harm)\s*:\s*(\w+)/gim),
  nemotron_reasoning_parse_prompt_safety: (a) =>
    fromLines(a, /^\s*(?:user safety|prompt harm)\s*:\s*(\w+)/gim),
  nemotron_reasoning_parse_response_safety: (a) =>
    fromLines(a, /^\s*(?:response safety|response harm)\s*:\s*(\w+)/gim),
}

/** The parser of a name that a prompt gives, or undefined when there is none of that name. */
export function outputParser(name: string): OutputParser | undefined {
  return Object.hasOwn(PARSERS, name) ? PARSERS[name] : undefined
}

/** Names that `output_parser` may have. */
export const PARSER_NAMES = Object.keys(PARSERS)
