// SPDX-License-Identifier: Apache-2.0
import {
  type DeleteResponse,
  deleteResponse,
  listEnvelope,
  listQuerySchema,
  nowMicros,
  pageSchema,
  parseListQuery,
} from '@open-nemo/contract'
import { entityStoreErrors as errors } from '@open-nemo/contract/entity-store/errors.ts'
import { unmaskSecrets } from '@open-nemo/contract/secrets.ts'
import { type App, type Database, type RouteInput, route } from '@open-nemo/runtime'
import { newEntity } from './document.ts'
import { KINDS, type Kind } from './kinds.ts'
import {
  deleteEntity,
  deleteNamespace,
  insertEntity,
  listEntities,
  namespaceKey,
  patchEntity,
  readEntity,
  type StoredText,
} from './store.ts'
import { buildWhere } from './where.ts'

export interface RouteOptions {
  app: App
  db: Database
  /** Whether a request comes from the platform itself and may read api keys in clear. */
  isInternal: (input: RouteInput<unknown>) => boolean
}

type Key = { namespace: string; name: string }

/** Registers the five operations of each of the four kinds. */
export function registerRoutes(options: RouteOptions): void {
  for (const kind of Object.values(KINDS)) {
    registerCollection(options, kind)
    registerItem(options, kind)
  }
}

function registerCollection({ app, db, isInternal }: RouteOptions, kind: Kind): void {
  const { path, entity } = kind
  route(
    app,
    {
      method: 'POST',
      path,
      id: `create_${kind.kind}`,
      summary: `Create a ${kind.kind}`,
      body: kind.create,
      response: entity,
    },
    async ({ body }) => {
      const made = newEntity(kind, body)
      if (!(await insertEntity(db, kind, made))) throw exists(kind, made)
      return made.doc
    },
  )
  route(
    app,
    {
      method: 'GET',
      path,
      id: `list_${kind.kind}s`,
      summary: `List ${kind.kind}s`,
      query: listQuerySchema,
      response: pageSchema(entity),
    },
    async (input) => {
      const query = parseListQuery(input.query, { sortable: kind.sortable })
      const where = buildWhere(kind, query.filter, input.query)
      const { rows, total } = await listEntities(db, kind, where, query, isInternal(input))
      const { object, data, ...rest } = listEnvelope({ data: rows.map(publicText), total, query })
      return jsonText(`{"object":"${object}","data":[${data.join(',')}],${JSON.stringify(rest).slice(1)}`)
    },
  )
}

function registerItem({ app, db, isInternal }: RouteOptions, kind: Kind): void {
  const isNamespace = kind.kind === 'namespace'
  const path = `${kind.path}${isNamespace ? '/:namespace' : '/:namespace/:name{.+}'}`
  const keyOf = (params: Record<string, string>): Key => {
    const { namespace = '', name = '' } = params
    const key = isNamespace ? namespaceKey(namespace) : { namespace, name }
    // PostgreSQL refuses U+0000 in text, and no stored name has it.
    if (key.namespace.includes('\0') || key.name.includes('\0')) throw missing(kind, key)
    return key
  }
  const spec = { path, response: kind.entity }
  route(
    app,
    { ...spec, method: 'GET', id: `get_${kind.kind}`, summary: `Get a ${kind.kind}` },
    async (input) => {
      const key = keyOf(input.params)
      const row = await readEntity(db, kind, key, isInternal(input))
      if (!row) throw missing(kind, key)
      return jsonText(publicText(row))
    },
  )
  route(
    app,
    {
      ...spec,
      method: 'PATCH',
      id: `update_${kind.kind}`,
      summary: `Change a ${kind.kind}; empty fields keep their old value`,
      body: kind.update,
    },
    async ({ body, params }) => {
      const key = keyOf(params)
      const entity = await patchEntity(db, kind, key, body)
      if (!entity) throw missing(kind, key)
      return entity.doc
    },
  )
  route(
    app,
    {
      path,
      method: 'DELETE',
      id: `delete_${kind.kind}`,
      summary: `Delete a ${kind.kind}`,
      response: deleteResponse,
    },
    async ({ params }): Promise<DeleteResponse> => {
      const key = keyOf(params)
      const id = isNamespace ? await removeNamespace(db, kind, key) : await deleteEntity(db, kind, key)
      if (id === undefined) throw missing(kind, key)
      return { id, deleted_at: nowMicros(), message: 'Resource deleted successfully.' }
    },
  )
}

async function removeNamespace(db: Database, kind: Kind, key: Key): Promise<string> {
  const { isDeleted, isKnown, holds } = await deleteNamespace(db, key.name)
  if (isDeleted) return key.name
  if (!isKnown) throw missing(kind, key)
  const contents = holds.map(({ kind, n }) => `${n} ${kind}${n === 1 ? '' : 's'}`).join(', ')
  throw errors.NAMESPACE_NOT_EMPTY({ id: key.name, contents })
}

/** The text of an answer; secrets are there only when the platform itself asks. */
function publicText({ doc, secrets }: StoredText): string {
  return secrets ? JSON.stringify(unmaskSecrets(JSON.parse(doc), secrets)) : doc
}

function jsonText(text: string): Response {
  return new Response(text, { headers: { 'content-type': 'application/json' } })
}

function exists(kind: Kind, { namespace, name }: Key): Error {
  return kind.kind === 'namespace'
    ? errors.NAMESPACE_EXISTS({ id: name })
    : errors.ENTITY_EXISTS({ kind: kind.kind, namespace, name })
}

function missing(kind: Kind, { namespace, name }: Key): Error {
  return kind.kind === 'namespace'
    ? errors.NAMESPACE_NOT_FOUND({ id: name })
    : errors.ENTITY_NOT_FOUND({ kind: kind.kind, namespace, name })
}
