// SPDX-License-Identifier: Apache-2.0
import { invalid, listEnvelope, parseListQuery, type QueryObject } from '@open-nemo/contract'
import type { Entity } from './store.ts'

const SORTABLE = ['created_at', 'updated_at', 'name', 'namespace']
const FILTERS: Record<string, (entity: Entity) => unknown> = {
  id: (e) => e.id,
  name: (e) => e.name,
  namespace: (e) => e.namespace,
  project: (e) => e.project,
  description: (e) => e.description,
  model: (e) => e.model,
  config: (e) => e.config,
  deployed: (e) => e.deployed,
  status: (e) => (e.status_details as { status?: string } | undefined)?.status,
}

/** The page of a list operation: filters that equal, a sort, and the envelope of lists. */
export function page(all: Entity[], params: URLSearchParams) {
  const query = parseListQuery(params, { sortable: SORTABLE })
  const found = all.filter((entity) => matches(entity, query.filter))
  const { field, desc } = query.sort
  const sign = desc ? -1 : 1
  const sorted = found.toSorted((a, b) => sign * order(String(a[field]), String(b[field])))
  const start = (query.page - 1) * query.pageSize
  return listEnvelope({ data: sorted.slice(start, start + query.pageSize), total: found.length, query })
}

function matches(entity: Entity, filter: QueryObject): boolean {
  return Object.entries(filter).every(([key, wanted]) => {
    const field = Object.hasOwn(FILTERS, key) ? FILTERS[key] : undefined
    if (!field) {
      const known = Object.keys(FILTERS).join(', ')
      throw invalid(['query', `filter[${key}]`], `cannot filter by "${key}"; use one of ${known}`)
    }
    if (typeof wanted !== 'string') throw invalid(['query', `filter[${key}]`], 'takes one value')
    return String(field(entity)) === wanted
  })
}

function order(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
