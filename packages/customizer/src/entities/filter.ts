// SPDX-License-Identifier: Apache-2.0
import { invalid, type ListQuery, type QueryObject } from '@open-nemo/contract'
import type { Entity } from './store.ts'

/** How one filter key reads an entity: a value, or a list of which any may equal. */
export type Field = (entity: Entity) => unknown

/** Keeps what matches every filter. Throws a 422 for a key that is not in `fields`. */
export function applyFilter(
  entities: Entity[],
  filter: QueryObject,
  fields: Record<string, Field>,
): Entity[] {
  const tests = Object.entries(filter).map(([key, wanted]) => {
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined
    if (!field) throw unknownFilter(key, Object.keys(fields))
    return (entity: Entity) => matches(field(entity), wanted, key)
  })
  return entities.filter((entity) => tests.every((test) => test(entity)))
}

export function unknownFilter(key: string, known: string[]): Error {
  return invalid(['query', `filter[${key}]`], `cannot filter by "${key}"; use one of ${known.join(', ')}`)
}

function matches(value: unknown, wanted: string | QueryObject, key: string): boolean {
  if (typeof wanted === 'string') return [value].flat().some((v) => String(v) === wanted)
  return Object.entries(wanted).every(([operator, bound]) => {
    if (typeof bound !== 'string') throw invalid(['query', `filter[${key}]`], 'has too many levels')
    return compare(String(value), operator, bound, key)
  })
}

/** Date ranges are written `gte`/`lte` or `start`/`end`; as ISO texts they compare as they stand. */
function compare(value: string, operator: string, bound: string, key: string): boolean {
  const date = bound.replace(/(Z|[+-]00:00)$/, '')
  if (operator === 'gte' || operator === 'start') return value >= date
  if (operator === 'lte' || operator === 'end') return value <= date
  if (operator === 'gt') return value > date
  if (operator === 'lt') return value < date
  if (operator === 'eq') return value === bound
  throw invalid(['query', `filter[${key}][${operator}]`], 'use eq, gt, gte, lt or lte')
}

/** Sorts and cuts out the page asked for. Equal values keep the order of creation. */
export function pageOf(
  entities: Entity[],
  query: ListQuery,
  fields: Record<string, Field>,
): { data: Entity[]; total: number } {
  const { field, desc } = query.sort
  const read = fields[field] ?? ((entity: Entity) => entity[field])
  const sign = desc ? -1 : 1
  const sorted = [...entities].sort((a, b) => sign * order(read(a), read(b)))
  const start = (query.page - 1) * query.pageSize
  return { data: sorted.slice(start, start + query.pageSize), total: sorted.length }
}

function order(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b
  const [x, y] = [String(a), String(b)]
  if (x === y) return 0
  return x < y ? -1 : 1
}
