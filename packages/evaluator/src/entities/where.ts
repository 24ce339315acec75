// SPDX-License-Identifier: Apache-2.0
import { invalid, type QueryObject } from '@open-nemo/contract'

/** How the fields of a list are read in SQL; each expression gives text. */
export interface Fields {
  /** Filter key to SQL expressions of which any may equal the value. */
  [key: string]: string[] | Fields
}

export interface WhereOptions {
  fields: Fields
  /** JSON document that searches and `filter[custom_fields]` look into. */
  doc: string
  customFields: string
  /** Searched fields that are not in the document. */
  columns?: Record<string, string>
}

const OPERATORS: Record<string, { sql: string; isEnd: boolean }> = {
  eq: { sql: '=', isEnd: false },
  neq: { sql: '<>', isEnd: false },
  gt: { sql: '>', isEnd: true },
  gte: { sql: '>=', isEnd: false },
  start: { sql: '>=', isEnd: false },
  lt: { sql: '<', isEnd: false },
  lte: { sql: '<=', isEnd: true },
  end: { sql: '<=', isEnd: true },
}
const DATES = ['created_at', 'updated_at']

/** The condition of a list query, with its parameters. Throws a 422 naming the parameter that has no meaning. */
export function whereOf(
  query: { filter: QueryObject; params: URLSearchParams },
  options: WhereOptions,
): { sql: string; params: unknown[] } {
  const params: unknown[] = []
  const tests: string[] = []
  const put = (value: unknown) => `$${params.push(value)}`
  for (const [key, value] of Object.entries(query.filter)) {
    tests.push(...filterTests(key, value, options, put))
  }
  for (const [key, values] of searchesOf(query.params)) tests.push(searchTest(key, values, options, put))
  return { sql: tests.length > 0 ? tests.join(' AND ') : 'true', params }
}

type Put = (value: unknown) => string
type Value = string | QueryObject

function filterTests(key: string, value: Value, options: WhereOptions, put: Put): string[] {
  const loc = `filter[${key}]`
  if (DATES.includes(key)) return dateTests(key, value, loc, put)
  if (key === 'custom_fields' && typeof value === 'object') {
    return pathTests([], value, loc).map(
      ({ path, text }) => `${options.customFields} #>> ${put(path)}::text[] = ${put(text)}`,
    )
  }
  return fieldTests(options.fields, key, value, loc, put)
}

function fieldTests(fields: Fields, key: string, value: Value, loc: string, put: Put): string[] {
  const field = Object.hasOwn(fields, key) ? fields[key] : undefined
  if (!field) {
    const known = [...Object.keys(fields), ...DATES, 'custom_fields'].join(', ')
    throw invalid(['query', loc], `cannot be filtered by; use one of ${known}`, 'extra_forbidden')
  }
  if (Array.isArray(field)) {
    const parameter = put(plain(value, loc))
    return [`(${field.map((expression) => `${expression} = ${parameter}`).join(' OR ')})`]
  }
  const inner = typeof value === 'string' ? { '': value } : value
  return Object.entries(inner).flatMap(([name, wanted]) =>
    fieldTests(field, name, wanted, `${loc}[${name}]`, put),
  )
}

function dateTests(column: string, value: Value, loc: string, put: Put): string[] {
  const given = typeof value === 'string' ? { eq: value } : value
  return Object.entries(given).map(([name, text]) => {
    const operator = Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined
    const at = `${loc}[${name}]`
    if (!operator) {
      throw invalid(['query', at], `use one of ${Object.keys(OPERATORS).join(', ')}`, 'enum')
    }
    const stamp = toStamp(plain(text, at), operator.isEnd)
    if (!stamp) throw invalid(['query', at], 'must be an ISO date or time', 'datetime_parsing')
    return `${column} ${operator.sql} ${put(stamp)}`
  })
}

/** A date or time as it is stored; what it leaves open is the start, or the end, of its span. */
export function toStamp(text: string, isEnd: boolean): string | undefined {
  const match =
    /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,6})\d*)?)?)?(Z|[+-]\d\d:?\d\d)?$/i.exec(
      text.trim(),
    )
  if (!match) return undefined
  const [, day = '', minutes, seconds, fraction, zone] = match
  const rest = isEnd ? '9' : '0'
  const time = `${minutes ?? (isEnd ? '23:59' : '00:00')}:${seconds ?? (isEnd ? '59' : '00')}`
  const micros = (fraction ?? '').padEnd(6, rest)
  const offset = zone?.toUpperCase() ?? 'Z'
  const instant = Date.parse(`${day}T${time}${offset}`)
  return Number.isNaN(instant) ? undefined : `${new Date(instant).toISOString().slice(0, 19)}.${micros}`
}

function searchesOf(query: URLSearchParams): Map<string, string[]> {
  const out = new Map<string, string[]>()
  for (const [key, value] of query) {
    if (!key.startsWith('search[')) continue
    const parts = value.split(',').filter((part) => part.trim() !== '')
    if (parts.length > 0) out.set(key, [...(out.get(key) ?? []), ...parts])
  }
  return out
}

function searchTest(key: string, values: string[], options: WhereOptions, put: Put): string {
  const path = key.slice('search['.length, -1).split('][')
  const [field = '', operator] = path
  if (DATES.includes(field) && operator !== undefined) {
    return dateTests(field, { [operator]: values.join(',') }, key, put).join(' AND ')
  }
  const column =
    path.length === 1 && Object.hasOwn(options.columns ?? {}, field) ? options.columns?.[field] : undefined
  const expression = column ?? `${options.doc} #>> ${put(path)}::text[]`
  const terms = values.map((value) => put(`%${plain(value, key).replace(/[\\%_]/g, '\\$&')}%`))
  return `(${terms.map((term) => `${expression} ILIKE ${term}`).join(' OR ')})`
}

function pathTests(path: string[], value: Value, loc: string): { path: string[]; text: string }[] {
  if (typeof value === 'string') return [{ path, text: plain(value, loc) }]
  return Object.entries(value).flatMap(([key, inner]) => pathTests([...path, key], inner, `${loc}[${key}]`))
}

function plain(value: Value | undefined, loc: string): string {
  if (typeof value !== 'string') throw invalid(['query', loc], 'must be one value')
  // No stored text has U+0000, and PostgreSQL refuses it.
  return value.replaceAll('\0', '\ufffd')
}
