// SPDX-License-Identifier: Apache-2.0
import { invalid, type QueryObject } from '@open-nemo/contract'
import { toStamp } from './dates.ts'
import type { Kind } from './kinds.ts'

/** A WHERE clause with its parameters, and how it can be counted cheaply. */
export interface Where {
  sql: string
  params: unknown[]
  /** Set when the clause is nothing, or nothing but one namespace: then `counts` knows the total. */
  counted: { namespace: string | undefined } | undefined
}

class Builder {
  readonly params: unknown[] = []
  readonly conditions: string[] = []

  param(value: unknown): string {
    this.params.push(value)
    return `$${this.params.length}`
  }

  add(condition: string): void {
    this.conditions.push(condition)
  }
}

type Value = string | QueryObject

/** Builds the condition for a list query. Throws a 422 naming the parameter that has no meaning. */
export function buildWhere(kind: Kind, filter: QueryObject, query: URLSearchParams): Where {
  const b = new Builder()
  for (const [field, value] of Object.entries(filter)) addFilter(b, kind, field, value)
  const isFilterOnly =
    Object.keys(filter).every((field) => field === 'namespace') && kind.kind !== 'namespace'
  const searched = searches(query)
  for (const [key, values] of searched) addSearch(b, kind, key, values)
  const isCounted = b.conditions.length === 0 || (isFilterOnly && searched.size === 0)
  return {
    sql: b.conditions.length ? `WHERE ${b.conditions.join(' AND ')}` : '',
    params: b.params,
    counted: isCounted ? { namespace: filter.namespace as string | undefined } : undefined,
  }
}

type FilterMaker = (b: Builder, value: Value, loc: string) => void

const equals =
  (expression: string): FilterMaker =>
  (b, value, loc) =>
    b.add(`${expression} = ${b.param(plain(value, loc))}`)

const OPERATORS: Record<string, { sql: string; end: boolean }> = {
  eq: { sql: '=', end: false },
  neq: { sql: '<>', end: false },
  gt: { sql: '>', end: false },
  gte: { sql: '>=', end: false },
  start: { sql: '>=', end: false },
  lt: { sql: '<', end: false },
  lte: { sql: '<=', end: true },
  end: { sql: '<=', end: true },
}

const dates =
  (column: string): FilterMaker =>
  (b, value, loc) => {
    const given = typeof value === 'string' ? { eq: value } : value
    for (const [name, text] of Object.entries(given)) {
      const operator = Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined
      if (!operator) {
        throw invalid(['query', `${loc}[${name}]`], `use one of ${Object.keys(OPERATORS).join(', ')}`, 'enum')
      }
      const stamp = toStamp(plain(text, `${loc}[${name}]`), operator.end)
      if (!stamp) {
        const hint = 'must be an ISO date or time such as 2025-06-20T03:56:39'
        throw invalid(['query', `${loc}[${name}]`], hint, 'datetime_parsing')
      }
      b.add(`${column} ${operator.sql} ${b.param(stamp)}`)
    }
  }

const exists =
  (field: string, inner: Record<string, string> = {}): FilterMaker =>
  (b, value, loc) => {
    if (typeof value === 'string') {
      b.add(`coalesce(jsonb_typeof(doc->'${field}'), 'null') ${bool(value, loc) ? '<>' : '='} 'null'`)
      return
    }
    for (const [key, wanted] of Object.entries(value)) {
      const expression = Object.hasOwn(inner, key) ? inner[key] : undefined
      const at = `${loc}[${key}]`
      if (expression) b.add(`coalesce(${expression}, false) = ${bool(plain(wanted, at), at)}`)
      else addPath(b, [field, key], wanted, at)
    }
  }

/** A base model is a name or an object; `name` also matches without its namespace or its version. */
const baseModel: FilterMaker = (b, value, loc) => {
  if (typeof value === 'string') {
    const p = b.param(plain(value, loc))
    b.add(`(${BASE} = ${p} OR doc#>>'{base_model,name}' = ${p})`)
    return
  }
  for (const [key, wanted] of Object.entries(value)) {
    const at = `${loc}[${key}]`
    if (key !== 'name') {
      addPath(b, ['base_model', key], wanted, at)
      continue
    }
    const p = b.param(plain(wanted, at))
    b.add(
      `(${p} IN (${BASE}, split_part(${BASE}, '@', 1), doc#>>'{base_model,name}') ` +
        `OR right(split_part(${BASE}, '@', 1), length(${p}) + 1) = '/' || ${p})`,
    )
  }
}

const BASE = `(CASE jsonb_typeof(doc->'base_model') WHEN 'string' THEN doc->>'base_model'
  WHEN 'object' THEN concat_ws('/', doc#>>'{base_model,namespace}', doc#>>'{base_model,name}') END)`

const LORA = `(doc#>>'{peft,finetuning_type}' IN ('lora', 'lora_merged')
  OR coalesce(jsonb_typeof(doc#>'{peft,lora}'), 'null') <> 'null')`

const COMMON: Record<string, FilterMaker> = {
  id: equals('id'),
  name: equals('name'),
  namespace: equals('namespace'),
  project: equals(`doc->>'project'`),
  created_at: dates('created_at'),
  updated_at: dates('updated_at'),
  custom_fields: (b, value, loc) => addPath(b, ['custom_fields'], value, loc),
}

const FILTERS: Record<Kind['kind'], Record<string, FilterMaker>> = {
  // A namespace is its own namespace.
  namespace: { ...COMMON, namespace: equals('name'), id: equals('name') },
  project: COMMON,
  dataset: { ...COMMON, format: equals(`doc->>'format'`), split: equals(`doc->>'split'`) },
  model: {
    ...COMMON,
    base_model: baseModel,
    peft: exists('peft', { lora: LORA }),
    prompt: exists('prompt'),
    api_endpoint: exists('api_endpoint'),
    artifact: exists('artifact'),
    spec: exists('spec'),
  },
}

function addFilter(b: Builder, kind: Kind, field: string, value: Value): void {
  const filters = FILTERS[kind.kind]
  const maker = Object.hasOwn(filters, field) ? filters[field] : undefined
  if (!maker) {
    const known = Object.keys(filters).join(', ')
    throw invalid(
      ['query', `filter[${field}]`],
      `${kind.kind}s can be filtered by ${known}`,
      'extra_forbidden',
    )
  }
  maker(b, value, `filter[${field}]`)
}

/** Equality on a value anywhere in the document. */
function addPath(b: Builder, path: string[], value: Value, loc: string): void {
  if (typeof value === 'string') {
    b.add(`doc #>> ${b.param(path)}::text[] = ${b.param(plain(value, loc))}`)
    return
  }
  for (const [key, inner] of Object.entries(value)) addPath(b, [...path, key], inner, `${loc}[${key}]`)
}

/** All values of each searched field: repeated parameters and comma-joined lists both mean "or". */
function searches(query: URLSearchParams): Map<string, string[]> {
  const out = new Map<string, string[]>()
  for (const [key, value] of query) {
    if (!key.startsWith('search[')) continue
    const parts = value.split(',').filter((part) => part.trim() !== '')
    if (parts.length) out.set(key, [...(out.get(key) ?? []), ...parts])
  }
  return out
}

function addSearch(b: Builder, kind: Kind, key: string, values: string[]): void {
  const path = key.slice('search['.length, -1).split('][')
  const [field, operator] = path
  if ((field === 'created_at' || field === 'updated_at') && operator !== undefined) {
    dates(field)(b, { [operator]: values.join(',') }, `search[${field}]`)
    return
  }
  const expression = column(b, kind, path)
  const terms = values.map((value) => b.param(`%${plain(value, key).replace(/[\\%_]/g, '\\$&')}%`))
  b.add(`(${terms.map((term) => `${expression} ILIKE ${term}`).join(' OR ')})`)
}

function column(b: Builder, kind: Kind, path: string[]): string {
  const [field] = path
  if (path.length === 1 && (field === 'id' || field === 'namespace' || field === 'name')) {
    return kind.kind === 'namespace' ? 'name' : field
  }
  return `doc #>> ${b.param(path)}::text[]`
}

function plain(value: Value | undefined, loc: string): string {
  if (typeof value !== 'string') throw invalid(['query', loc], 'must be one value')
  if (value.includes('\0')) throw invalid(['query', loc], 'must not hold the character U+0000')
  return value
}

function bool(value: string, loc: string): boolean {
  if (/^(true|1)$/i.test(value)) return true
  if (/^(false|0)$/i.test(value)) return false
  throw invalid(['query', loc], 'must be true or false', 'bool_parsing')
}
