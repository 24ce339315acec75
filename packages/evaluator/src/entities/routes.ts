// SPDX-License-Identifier: Apache-2.0
import {
  deleteResponse,
  listEnvelope,
  listQuerySchema,
  nowMicros,
  pageSchema,
  parseListQuery,
} from '@open-nemo/contract'
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import {
  configCreate,
  configEntity,
  configUpdate,
  targetCreate,
  targetEntity,
  targetUpdate,
} from '@open-nemo/contract/evaluation/schemas.ts'
import { type App, type Database, route } from '@open-nemo/runtime'
import type { z } from 'zod'
import { checkTargetFields } from './check.ts'
import {
  deleteEntity,
  type EntityKind,
  insertEntity,
  type Key,
  listEntities,
  newEntity,
  readEntity,
  updateEntity,
} from './store.ts'
import { type Fields, whereOf } from './where.ts'

export const SORTABLE = ['created_at', 'updated_at', 'name']

const FIELDS: Fields = {
  id: ['id'],
  name: ['name', `(namespace || '/' || name)`],
  namespace: ['namespace'],
  project: [`doc->>'project'`],
  type: [`doc->>'type'`],
}
/** A target is found by its model's name, whether the model is a name or written out. */
const MODEL = [
  `(CASE jsonb_typeof(doc->'model') WHEN 'string' THEN doc->>'model' END)`,
  `doc#>>'{model,name}'`,
  `concat_ws('/', doc#>>'{model,namespace}', doc#>>'{model,name}')`,
  `doc#>>'{model,api_endpoint,model_id}'`,
]

interface Resource {
  kind: EntityKind
  path: string
  fields: Fields
  create: z.ZodType<Record<string, unknown>>
  update: z.ZodType<Record<string, unknown>>
  entity: z.ZodType
  check: (body: Record<string, unknown>) => void
}

const RESOURCES: Resource[] = [
  {
    kind: 'target',
    path: '/v1/evaluation/targets',
    fields: { ...FIELDS, model: MODEL },
    create: targetCreate,
    update: targetUpdate,
    entity: targetEntity,
    check: checkTargetFields,
  },
  {
    kind: 'config',
    path: '/v1/evaluation/configs',
    fields: FIELDS,
    create: configCreate,
    update: configUpdate,
    entity: configEntity,
    check: () => undefined,
  },
]

/** Registers the five operations on targets and on configs. */
export function registerEntities({ app, db }: { app: App; db: Database }): void {
  for (const resource of RESOURCES) {
    registerLists(app, db, resource)
    registerItems(app, db, resource)
  }
}

function registerLists(app: App, db: Database, resource: Resource): void {
  const { kind, path } = resource
  route(
    app,
    {
      method: 'POST',
      path,
      id: `create_evaluation_${kind}`,
      summary: `Create an evaluation ${kind}`,
      body: resource.create,
      response: resource.entity,
    },
    async ({ body }) => {
      resource.check(body)
      const stored = newEntity(kind, body)
      if (!(await insertEntity(db, kind, stored))) {
        throw errors.ENTITY_EXISTS({ kind, name: referenceOf(stored.doc), field: 'name' })
      }
      return stored.doc
    },
  )
  route(
    app,
    {
      method: 'GET',
      path,
      id: `list_evaluation_${kind}s`,
      summary: `List evaluation ${kind}s`,
      query: listQuerySchema,
      response: pageSchema(resource.entity),
    },
    async (input) => {
      const query = parseListQuery(input.query, { sortable: SORTABLE })
      const columns = { id: 'id', name: 'name', namespace: 'namespace' }
      const { sql, params } = whereOf(
        { filter: query.filter, params: input.query },
        { fields: resource.fields, doc: 'doc', customFields: `doc->'custom_fields'`, columns },
      )
      const direction = query.sort.desc ? 'DESC' : 'ASC'
      const { data, total } = await listEntities(db, kind, {
        where: sql,
        params,
        order: `${query.sort.field} ${direction}, id ${direction}`,
        limit: query.pageSize,
        offset: (query.page - 1) * query.pageSize,
      })
      return listEnvelope({ data, total, query })
    },
  )
}

function registerItems(app: App, db: Database, resource: Resource): void {
  const { kind } = resource
  const path = `${resource.path}/:namespace/:name{.+}`
  const keyOf = ({ namespace = '', name = '' }: Record<string, string>): Key => ({ namespace, name })
  route(
    app,
    {
      method: 'GET',
      path,
      id: `get_evaluation_${kind}`,
      summary: `Get an evaluation ${kind}`,
      response: resource.entity,
    },
    async ({ params }) => {
      const stored = await readEntity(db, kind, keyOf(params))
      if (!stored) throw notFound(kind, referenceOf(keyOf(params)))
      return stored.doc
    },
  )
  route(
    app,
    {
      method: 'PATCH',
      path,
      id: `update_evaluation_${kind}`,
      summary: `Change an evaluation ${kind}; fields that are absent or null keep their value`,
      body: resource.update,
      response: resource.entity,
    },
    async ({ body, params }) => {
      if (body.type != null) resource.check(body)
      const doc = await updateEntity(db, kind, keyOf(params), body)
      if (!doc) throw notFound(kind, referenceOf(keyOf(params)))
      return doc
    },
  )
  route(
    app,
    {
      method: 'DELETE',
      path,
      id: `delete_evaluation_${kind}`,
      summary: `Delete an evaluation ${kind}; jobs keep their copy`,
      response: deleteResponse,
    },
    async ({ params }) => {
      const id = await deleteEntity(db, kind, keyOf(params))
      if (!id) throw notFound(kind, referenceOf(keyOf(params)))
      return { id, deleted_at: nowMicros(), message: 'Resource deleted successfully.' }
    },
  )
}

/** The stored target or config that a reference `namespace/name` names, or `name` of namespace `default`. */
export async function findByReference(db: Database, kind: EntityKind, reference: string) {
  const slash = reference.indexOf('/')
  const whole = { namespace: 'default', name: reference }
  const keys =
    slash > 0 ? [{ namespace: reference.slice(0, slash), name: reference.slice(slash + 1) }, whole] : [whole]
  for (const key of keys) {
    const found = await readEntity(db, kind, key)
    if (found) return found
  }
  throw notFound(kind, reference)
}

function referenceOf({ namespace, name }: Key): string {
  return `${namespace}/${name}`
}

export function notFound(kind: EntityKind, name: string): Error {
  return kind === 'target' ? errors.TARGET_NOT_FOUND({ name }) : errors.CONFIG_NOT_FOUND({ name })
}
