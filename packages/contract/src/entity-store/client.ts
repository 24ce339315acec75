// SPDX-License-Identifier: Apache-2.0
import type { DeleteResponse } from '../common.ts'
import { UpstreamError } from '../errors.ts'
import type { Pagination } from '../paging.ts'
import {
  type Dataset,
  type DatasetCreate,
  type DatasetUpdate,
  INTERNAL_TOKEN_HEADER,
  type Model,
  type ModelCreate,
  type ModelUpdate,
  type Namespace,
  type NamespaceCreate,
  type NamespaceUpdate,
  type Project,
  type ProjectCreate,
  type ProjectUpdate,
} from './schemas.ts'

export interface EntityStoreClientOptions {
  /** Where the entity store answers, such as `http://nemo-entity-store:8000`; `/v1/…` is added. */
  baseUrl: string
  fetch?: typeof globalThis.fetch
  /** The platform's NEMO_INTERNAL_TOKEN. With it, `api_key` comes in clear instead of masked. */
  internalToken?: string
}

/** A query value: `{created_at: {gte: '2025-01-01'}}` is sent as `filter[created_at][gte]=2025-01-01`. */
export interface QueryFields {
  [field: string]: string | number | boolean | QueryFields | undefined
}

export interface EntityListQuery {
  page?: number
  page_size?: number
  sort?: string
  filter?: QueryFields
  search?: QueryFields
}

export interface EntityPage<T> {
  object: 'list'
  data: T[]
  pagination: Pagination
}

/** The operations on entities that live in a namespace. Every failure is an UpstreamError with `status`. */
export interface EntityResource<T, Create, Update> {
  create(body: Create): Promise<T>
  get(namespace: string, name: string): Promise<T>
  /** Like get, and undefined when there is none. */
  find(namespace: string, name: string): Promise<T | undefined>
  update(namespace: string, name: string, body: Update): Promise<T>
  delete(namespace: string, name: string): Promise<DeleteResponse>
  list(query?: EntityListQuery): Promise<EntityPage<T>>
  /** All that match, page by page. */
  all(query?: Omit<EntityListQuery, 'page'>): AsyncGenerator<T, void, undefined>
}

export interface NamespaceResource {
  create(body: NamespaceCreate): Promise<Namespace>
  /** Creates the namespace, or gives the one that exists. */
  ensure(id: string): Promise<Namespace>
  get(id: string): Promise<Namespace>
  find(id: string): Promise<Namespace | undefined>
  update(id: string, body: NamespaceUpdate): Promise<Namespace>
  delete(id: string): Promise<DeleteResponse>
  list(query?: EntityListQuery): Promise<EntityPage<Namespace>>
}

export interface EntityStoreClient {
  namespaces: NamespaceResource
  projects: EntityResource<Project, ProjectCreate, ProjectUpdate>
  datasets: EntityResource<Dataset, DatasetCreate, DatasetUpdate>
  models: EntityResource<Model, ModelCreate, ModelUpdate>
}

type Send = <T>(method: string, path: string, body?: unknown) => Promise<T>

/** A typed client of the entity store. Answers that are not 2xx throw UpstreamError. */
export function createEntityStoreClient(options: EntityStoreClientOptions): EntityStoreClient {
  const send = sender(options)
  return {
    namespaces: namespaces(send),
    projects: resource(send, '/v1/projects'),
    datasets: resource(send, '/v1/datasets'),
    models: resource(send, '/v1/models'),
  }
}

/** Encodes filter, search and paging as the SDK does: nested fields in brackets, unset ones left out. */
export function entityQuery(query: EntityListQuery): string {
  const out = new URLSearchParams()
  const put = (key: string, value: QueryFields[string]): void => {
    if (value === undefined || value === null) return
    if (typeof value === 'object') {
      for (const [field, inner] of Object.entries(value)) put(`${key}[${field}]`, inner)
    } else {
      out.append(key, String(value))
    }
  }
  for (const [key, value] of Object.entries(query)) put(key, value)
  return out.toString()
}

function sender({ baseUrl, fetch, internalToken }: EntityStoreClientOptions): Send {
  const base = baseUrl.replace(/\/+$/, '')
  const call = fetch ?? globalThis.fetch
  return async <T>(method: string, path: string, body?: unknown): Promise<T> => {
    const headers: Record<string, string> = { accept: 'application/json' }
    if (body !== undefined) headers['content-type'] = 'application/json'
    if (internalToken) headers[INTERNAL_TOKEN_HEADER] = internalToken
    const url = base + path
    const response = await call(url, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    const answer = await response.text()
    if (!response.ok) throw new UpstreamError({ status: response.status, url, body: answer, method })
    try {
      return JSON.parse(answer) as T
    } catch {
      throw new UpstreamError({ status: 502, url, body: `not JSON: ${answer}`, method })
    }
  }
}

function resource<T, Create, Update>(send: Send, path: string): EntityResource<T, Create, Update> {
  const one = (namespace: string, name: string) =>
    `${path}/${encodeURIComponent(namespace)}/${name.split('/').map(encodeURIComponent).join('/')}`
  const list = (query: EntityListQuery = {}) => send<EntityPage<T>>('GET', `${path}${suffix(query)}`)
  const get = (namespace: string, name: string) => send<T>('GET', one(namespace, name))
  return {
    create: (body) => send<T>('POST', path, body),
    get,
    find: (namespace, name) => orUndefined(get(namespace, name)),
    update: (namespace, name, body) => send<T>('PATCH', one(namespace, name), body),
    delete: (namespace, name) => send<DeleteResponse>('DELETE', one(namespace, name)),
    list,
    async *all(query = {}) {
      for (let page = 1; ; page++) {
        const { data } = await list({ page_size: 100, ...query, page })
        if (data.length === 0) return
        yield* data
      }
    },
  }
}

function namespaces(send: Send): NamespaceResource {
  const path = '/v1/namespaces'
  const one = (id: string) => `${path}/${encodeURIComponent(id)}`
  const get = (id: string) => send<Namespace>('GET', one(id))
  const create = (body: NamespaceCreate) => send<Namespace>('POST', path, body)
  return {
    create,
    ensure: async (id) => {
      try {
        return await create({ id })
      } catch (error) {
        if (error instanceof UpstreamError && error.status === 409) return get(id)
        throw error
      }
    },
    get,
    find: (id) => orUndefined(get(id)),
    update: (id, body) => send<Namespace>('PATCH', one(id), body),
    delete: (id) => send<DeleteResponse>('DELETE', one(id)),
    list: (query = {}) => send<EntityPage<Namespace>>('GET', `${path}${suffix(query)}`),
  }
}

function suffix(query: EntityListQuery): string {
  const text = entityQuery(query)
  return text && `?${text}`
}

async function orUndefined<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found
  } catch (error) {
    if (error instanceof UpstreamError && error.status === 404) return undefined
    throw error
  }
}
