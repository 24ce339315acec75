// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { invalid } from './errors.ts'

/** A nested query object: `filter[created_at][gte]=x` is `{created_at: {gte: 'x'}}`. */
export interface QueryObject {
  [key: string]: string | QueryObject
}

export interface ListQuery {
  page: number
  pageSize: number
  sort: { field: string; desc: boolean }
  filter: QueryObject
  search: QueryObject
}

export interface ListQueryOptions {
  sortable: readonly string[]
  defaultSort?: string
  defaultPageSize?: number
}

const MAX_PAGE_SIZE = 1000
const MAX_PAGE = 1_000_000_000
const MAX_DEPTH = 4

/**
 * Reads page, page_size, sort, filter and search from a query string, as the SDK encodes them.
 * Throws a 422 that names the parameter when one is malformed.
 */
export function parseListQuery(query: URLSearchParams, options: ListQueryOptions): ListQuery {
  return {
    page: integer(query, 'page', 1, MAX_PAGE),
    pageSize: integer(query, 'page_size', options.defaultPageSize ?? 10, MAX_PAGE_SIZE),
    sort: parseSort(query.get('sort'), options),
    filter: nested(query, 'filter'),
    search: nested(query, 'search'),
  }
}

/** Builds the page envelope; `total` counts all matches, not those of this page. */
export function listEnvelope<T>(args: { data: T[]; total: number; query: ListQuery }): {
  object: 'list'
  data: T[]
  pagination: Pagination
  sort: string
  filter: QueryObject | null
  search: QueryObject | null
} {
  const { data, total, query } = args
  return {
    object: 'list',
    data,
    pagination: {
      page: query.page,
      page_size: query.pageSize,
      current_page_size: data.length,
      total_pages: Math.ceil(total / query.pageSize),
      total_results: total,
    },
    sort: (query.sort.desc ? '-' : '') + query.sort.field,
    filter: Object.keys(query.filter).length ? query.filter : null,
    search: Object.keys(query.search).length ? query.search : null,
  }
}

export const paginationSchema = z.object({
  page: z.int(),
  page_size: z.int(),
  current_page_size: z.int(),
  total_pages: z.int(),
  total_results: z.int(),
})
export type Pagination = z.infer<typeof paginationSchema>

/** The schema of a page of `item`, for OpenAPI documents. */
export function pageSchema<T extends z.ZodType>(item: T) {
  return z.object({
    object: z.literal('list'),
    data: z.array(item),
    pagination: paginationSchema,
    sort: z.string().nullish(),
    filter: z.record(z.string(), z.unknown()).nullish(),
    search: z.record(z.string(), z.unknown()).nullish(),
  })
}

/** The query parameters of every list operation, for OpenAPI documents; parseListQuery reads them. */
export const listQuerySchema = z.object({
  page: z.int().min(1).max(MAX_PAGE).optional(),
  page_size: z.int().min(1).max(MAX_PAGE_SIZE).optional(),
  sort: z.string().optional(),
  filter: z.record(z.string(), z.unknown()).optional(),
  search: z.record(z.string(), z.unknown()).optional(),
})

function integer(query: URLSearchParams, name: string, fallback: number, max: number): number {
  const text = query.get(name)
  if (text === null || text === '') return fallback
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < 1 || value > max) {
    throw invalid(['query', name], `must be a whole number from 1 to ${max}`, 'int_parsing')
  }
  return value
}

function parseSort(text: string | null, options: ListQueryOptions): { field: string; desc: boolean } {
  const value = text || options.defaultSort || 'created_at'
  const desc = value.startsWith('-')
  const field = desc ? value.slice(1) : value
  if (!options.sortable.includes(field)) {
    const known = options.sortable.flatMap((s) => [s, `-${s}`]).join(', ')
    throw invalid(['query', 'sort'], `cannot sort by "${field}"; use one of ${known}`, 'enum')
  }
  return { field, desc }
}

function nested(query: URLSearchParams, name: string): QueryObject {
  const out: QueryObject = Object.create(null)
  for (const [key, value] of query) {
    if (key === name && value !== '') throw invalid(['query', name], `use ${name}[field]=value`)
    if (!key.startsWith(`${name}[`)) continue
    const match = /^\w+((?:\[[\w.-]+\])+)$/.exec(key)
    if (!match?.[1])
      throw invalid(['query', key], `use ${name}[field]=value or ${name}[field][operator]=value`)
    const path = match[1].slice(1, -1).split('][')
    if (path.length > MAX_DEPTH) throw invalid(['query', key], `at most ${MAX_DEPTH} levels`)
    put(out, path, value, key)
  }
  return out
}

function put(target: QueryObject, path: string[], value: string, key: string): void {
  const [head, ...rest] = path
  if (head === undefined) return
  if (rest.length === 0) {
    target[head] = value
    return
  }
  const next = target[head] ?? Object.create(null)
  if (typeof next === 'string') throw invalid(['query', key], 'is given both as a value and as an object')
  target[head] = next
  put(next, rest, value, key)
}
