// SPDX-License-Identifier: Apache-2.0
import {
  deleteResponse,
  listEnvelope,
  listQuerySchema,
  nowMicros,
  pageSchema,
  parseListQuery,
  refuseUnstorable,
} from '@open-nemo/contract'
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import { targetCreate, targetEntity, targetUpdate } from '@open-nemo/contract/customization/schemas.ts'
import { type App, type Database, route, type ServiceContext } from '@open-nemo/runtime'
import { applyFilter, type Field, pageOf } from './filter.ts'
import { notFound, referenceOf } from './references.ts'
import {
  deleteEntity,
  type Entity,
  insertEntity,
  newEntity,
  readEntities,
  readEntity,
  updateEntity,
} from './store.ts'

type Catalogue = ServiceContext['catalogue']
type CatalogueModel = Catalogue['models'][number]

export interface EntityRoutes {
  app: App
  db: Database
  catalogue: Catalogue
  /** The id of an active job that uses a target, if any. */
  activeJobOf: (target: string) => Promise<string | undefined>
}

const FIELDS: Record<string, Field> = {
  id: (t) => t.id,
  name: (t) => [t.name, referenceOf(t)],
  namespace: (t) => t.namespace,
  base_model: (t) => t.base_model,
  enabled: (t) => t.enabled,
  status: (t) => presentTarget(t).status,
  project: (t) => t.project,
  created_at: (t) => t.created_at,
  updated_at: (t) => t.updated_at,
}
const SORTABLE = ['created_at', 'updated_at', 'name', 'num_parameters']
const PATH = '/v1/customization/targets'

/** A target as answered: weights are fetched on first use, so one is ready unless its seed says otherwise. */
export function presentTarget(entity: Entity): Entity {
  return { ownership: null, project: null, model_type: 'hf', ...entity, status: entity.status ?? 'ready' }
}

/** Registers the five operations on targets. */
export function registerTargets({ app, db, catalogue, activeJobOf }: EntityRoutes): void {
  const item = `${PATH}/:namespace/:name{.+}`
  const keyOf = ({ namespace = '', name = '' }: Record<string, string>) => ({ namespace, name })

  route(
    app,
    {
      method: 'POST',
      path: PATH,
      id: 'create_customization_target',
      summary: 'Create a customization target',
      body: targetCreate,
      response: targetEntity,
    },
    async ({ body }) => {
      refuseUnstorable(body)
      const { status: _, ...given } = body
      const entity = newEntity('target', { ...given, enabled: body.enabled ?? true })
      entity.base_model = requireWeights(
        catalogue,
        body.base_model || referenceOf(entity).split('@')[0] || '',
      )
      entity.model_path ??= body.model_uri || entity.base_model
      if (!(await insertEntity(db, 'target', entity))) {
        throw errors.ENTITY_EXISTS({ kind: 'target', name: referenceOf(entity) })
      }
      return presentTarget(entity)
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: PATH,
      id: 'list_customization_targets',
      summary: 'List customization targets',
      query: listQuerySchema,
      response: pageSchema(targetEntity),
    },
    async (input) => {
      const query = parseListQuery(input.query, { sortable: SORTABLE })
      const found = applyFilter(await readEntities(db, 'target'), query.filter, FIELDS)
      const { data, total } = pageOf(found, query, {})
      return listEnvelope({ data: data.map(presentTarget), total, query })
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: item,
      id: 'get_customization_target',
      summary: 'Get a target',
      response: targetEntity,
    },
    async ({ params }) => {
      const entity = await readEntity(db, 'target', keyOf(params))
      if (!entity) throw await notFound(db, 'target', referenceOf(keyOf(params)))
      return presentTarget(entity)
    },
  )
  route(
    app,
    {
      method: 'PATCH',
      path: item,
      id: 'update_customization_target',
      summary: 'Change a target; fields that are absent or null keep their value',
      body: targetUpdate,
      response: targetEntity,
    },
    async ({ body, params }) => {
      refuseUnstorable(body)
      const { status: _, ...changes } = body
      const given = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== null))
      if (body.base_model) requireWeights(catalogue, body.base_model)
      // With weights that are here, a target whose seed lacked them can be tuned.
      const mended = body.base_model ? { status: undefined, status_message: undefined } : {}
      const entity = await updateEntity(db, 'target', keyOf(params), (old) => ({
        ...old,
        ...given,
        ...mended,
      }))
      if (!entity) throw await notFound(db, 'target', referenceOf(keyOf(params)))
      return { ...presentTarget(entity), warning_message: null }
    },
  )
  route(
    app,
    {
      method: 'DELETE',
      path: item,
      id: 'delete_customization_target',
      summary: 'Delete a target that no job is using',
      response: deleteResponse,
    },
    async ({ params }) => {
      const name = referenceOf(keyOf(params))
      const job = await activeJobOf(name)
      if (job) throw errors.TARGET_IN_USE({ name, id: job })
      const id = (await deleteEntity(db, 'target', keyOf(params)))?.id
      if (!id) throw await notFound(db, 'target', name)
      return { id, deleted_at: nowMicros(), message: 'Resource deleted successfully.' }
    },
  )
}

/** The base model's name when the catalogue has weights for it that can be tuned. Throws BASE_MODEL_UNKNOWN. */
export function requireWeights(catalogue: Catalogue, baseModel: string): string {
  const model = modelOf(catalogue, baseModel)
  if (model && isTunable(model)) return baseModel
  const tunable = catalogue.models.filter(isTunable).flatMap((m) => [m.id, ...m.names])
  throw errors.BASE_MODEL_UNKNOWN({
    name: baseModel,
    known: tunable.join(', ') || 'none',
    field: 'base_model',
  })
}

/** The catalogue's model of this name, with or without a version. */
export function modelOf(catalogue: Catalogue, name: string): CatalogueModel | undefined {
  return catalogue.resolve(name) ?? catalogue.resolve(name.split('@')[0] ?? '')
}

/** Whether the trainer has a way to tune it: models that generate text or embed it, with weights here. */
export function isTunable({ kind, task }: CatalogueModel): boolean {
  return kind !== 'upstream' && task !== 'ranking'
}
