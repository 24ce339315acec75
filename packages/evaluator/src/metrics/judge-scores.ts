// SPDX-License-Identifier: Apache-2.0
import type { ScoreValue } from '../kinds/types.ts'
import type { TemplateEngine } from '../templates/types.ts'

export type ScoreType = 'int' | 'float' | 'bool'

export type ScoreParser =
  | { type: 'regex'; pattern: string }
  /** A field of the JSON that the judge answers with; `path` has dots between keys. */
  | { type: 'json'; path: string }
  /** The last number in the answer. */
  | { type: 'number' }

/** One score of a judge: how it is found in the answer, and what it is. */
export interface ScoreSpec {
  name: string
  type: ScoreType
  parser: ScoreParser
  /** Words that stand for values. */
  labels: Map<string, number>
}

const TYPES: Record<string, ScoreType> = {
  int: 'int',
  integer: 'int',
  float: 'float',
  number: 'float',
  bool: 'bool',
  boolean: 'bool',
}

/** Reads the `scores` of a judge; text says what is wrong with them. */
export function scoreSpecs(given: unknown): ScoreSpec[] | string {
  if (typeof given !== 'object' || given === null)
    return 'params.scores is missing: what the judge is to score'
  const entries = Array.isArray(given)
    ? given.map((one): [string, unknown] => [String(one?.name ?? ''), one])
    : Object.entries(given)
  if (entries.length === 0 || entries.some(([name]) => name === '')) return 'params.scores names no score'
  const specs: ScoreSpec[] = []
  for (const [name, value] of entries) {
    const spec = specOf(name, (value ?? {}) as Record<string, unknown>)
    if (typeof spec === 'string') return `params.scores.${name}: ${spec}`
    specs.push(spec)
  }
  return specs
}

function specOf(name: string, given: Record<string, unknown>): ScoreSpec | string {
  const type = TYPES[String(given.type ?? 'float')]
  if (!type) return `type "${given.type}" is not one of ${Object.keys(TYPES).join(', ')}`
  const parser = parserOf(name, given.parser)
  return typeof parser === 'string' ? parser : { name, type, parser, labels: labelsOf(given.rubric) }
}

function parserOf(name: string, given: unknown): ScoreParser | string {
  if (given === undefined || given === null) return { type: 'number' }
  const parser = given as Record<string, unknown>
  const kind = String(parser.type ?? given)
  if (kind === 'regex') {
    if (typeof parser.pattern !== 'string') return 'parser.pattern is missing'
    return { type: 'regex', pattern: parser.pattern }
  }
  if (/^json([-_](path|schema))?$/.test(kind)) {
    const path = String(parser.json_path ?? parser.path ?? parser.field ?? name).replace(/^\$?\.?/, '')
    return { type: 'json', path }
  }
  if (['int', 'integer', 'float', 'number'].includes(kind)) return { type: 'number' }
  return `parser.type "${kind}" is not one of regex, json, int, float`
}

function labelsOf(rubric: unknown): Map<string, number> {
  const labels = new Map<string, number>()
  for (const one of Array.isArray(rubric) ? rubric : []) {
    const label = one?.label ?? one?.name
    if (label !== undefined && typeof one?.value === 'number')
      labels.set(String(label).toLowerCase(), one.value)
  }
  return labels
}

/** The score in a judge's answer; null when there is none that can be read. */
export async function parseScore(
  spec: ScoreSpec,
  answer: string,
  templates: TemplateEngine,
): Promise<ScoreValue> {
  const text = withoutThoughts(answer)
  const { parser } = spec
  if (parser.type === 'json') return toScore(fieldOf(jsonIn(text), parser.path), spec)
  if (parser.type === 'number') return toScore(text.match(/[+-]?\d+(\.\d+)?|[+-]?\.\d+/g)?.at(-1), spec)
  const match = await templates.match(parser.pattern, text)
  if (!match) return null
  return toScore(match.slice(1).find((group) => group !== null) ?? match[0], spec)
}

/** What a reasoning model thinks aloud is not its judgement. */
function withoutThoughts(text: string): string {
  const end = text.lastIndexOf('</think>')
  return end < 0 ? text : text.slice(end + '</think>'.length)
}

/** The JSON in an answer, which may stand in a code block or among words. */
function jsonIn(text: string): unknown {
  const start = text.search(/[{[]/)
  const end = Math.max(text.lastIndexOf('}'), text.lastIndexOf(']'))
  if (start < 0 || end < start) return undefined
  try {
    return JSON.parse(text.slice(start, end + 1))
  } catch {
    return undefined
  }
}

function fieldOf(value: unknown, path: string): unknown {
  let here = value
  for (const key of path.split('.')) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, key)) return undefined
    here = (here as Record<string, unknown>)[key]
  }
  return here
}

function toScore(value: unknown, spec: ScoreSpec): ScoreValue {
  if (value === undefined || value === null) return null
  const text = String(value).trim()
  const label = spec.labels.get(text.toLowerCase())
  if (label !== undefined) return label
  if (/^(true|yes)$/i.test(text)) return 1
  if (/^(false|no)$/i.test(text)) return 0
  const number = text === '' ? Number.NaN : Number(text)
  if (!Number.isFinite(number)) return null
  return spec.type === 'int' && !Number.isInteger(number) ? null : number
}
