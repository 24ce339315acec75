// SPDX-License-Identifier: Apache-2.0
import {
  deleteResponse,
  invalid,
  listEnvelope,
  listQuerySchema,
  nowMicros,
  pageSchema,
  parseListQuery,
  refuseUnstorable,
} from '@open-nemo/contract'
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import {
  type ConfigCreate,
  type ConfigUpdate,
  configCreate,
  configEntity,
  configUpdate,
  type TrainingOption,
} from '@open-nemo/contract/customization/schemas.ts'
import { type Queryable, route } from '@open-nemo/runtime'
import { applyFilter, type Field, pageOf } from './filter.ts'
import { findByReference, notFound, referenceOf } from './references.ts'
import {
  deleteEntity,
  type Entity,
  insertEntity,
  newEntity,
  readEntities,
  readEntity,
  updateEntity,
} from './store.ts'
import { type EntityRoutes, presentTarget } from './targets.ts'

const target = (c: Entity) => c.target as Entity | null
const options = (c: Entity) => c.training_options as TrainingOption[]
/** Whether a job could use the config: its target is there and enabled. */
const isEnabled: Field = (c) => target(c)?.enabled === true

const FIELDS: Record<string, Field> = {
  id: (c) => c.id,
  name: (c) => [c.name, referenceOf(c)],
  namespace: (c) => c.namespace,
  project: (c) => c.project,
  enabled: isEnabled,
  target_enabled: isEnabled,
  target_base_model: (c) => target(c)?.base_model,
  target: (c) => targetNames(c),
  target_name: (c) => targetNames(c),
  training_type: (c) => options(c).map((o) => o.training_type),
  finetuning_type: (c) => options(c).map((o) => o.finetuning_type),
  created_at: (c) => c.created_at,
  updated_at: (c) => c.updated_at,
}
const SORT_FIELDS: Record<string, Field> = {
  target_enabled: isEnabled,
  num_parameters: (c) => target(c)?.num_parameters ?? 0,
}
const SORTABLE = ['created_at', 'updated_at', 'name', 'target_enabled', 'num_parameters']
const PATH = '/v1/customization/configs'

const targetNames = (c: Entity) => {
  const of = target(c)
  return of ? [of.name, referenceOf(of)] : []
}

/** A config as answered: with its target in full, or null once that is deleted. */
export function presentConfig(entity: Entity, targets: Entity[]): Entity {
  const found = targets.find((t) => referenceOf(t) === entity.target)
  return { ownership: null, project: null, ...entity, target: found ? presentTarget(found) : null }
}

/** Registers the five operations on configs. */
export function registerConfigs({ app, db }: EntityRoutes): void {
  const item = `${PATH}/:namespace/:name{.+}`
  const keyOf = ({ namespace = '', name = '' }: Record<string, string>) => ({ namespace, name })
  const present = async (entity: Entity) => presentConfig(entity, await readEntities(db, 'target'))

  route(
    app,
    {
      method: 'POST',
      path: PATH,
      id: 'create_customization_config',
      summary: 'Create a customization config',
      body: configCreate,
      response: configEntity,
    },
    async ({ body }) => {
      refuseUnstorable(body)
      const entity = newEntity('config', body)
      const target = await resolveTarget(db, body, entity)
      entity.target = referenceOf(target)
      checkOptions(options(entity))
      if (!(await insertEntity(db, 'config', entity))) {
        throw errors.ENTITY_EXISTS({ kind: 'config', name: referenceOf(entity) })
      }
      return presentConfig(entity, [target])
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: PATH,
      id: 'list_customization_configs',
      summary: 'List configs; those of disabled targets only when filter[enabled] asks for them',
      query: listQuerySchema,
      response: pageSchema(configEntity),
    },
    async (input) => {
      const query = parseListQuery(input.query, { sortable: SORTABLE })
      const targets = await readEntities(db, 'target')
      const all = (await readEntities(db, 'config')).map((c) => presentConfig(c, targets))
      const asks = 'enabled' in query.filter || 'target_enabled' in query.filter
      const found = applyFilter(asks ? all : all.filter(isEnabled), query.filter, FIELDS)
      return listEnvelope({ ...pageOf(found, query, SORT_FIELDS), query })
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: item,
      id: 'get_customization_config',
      summary: 'Get a config',
      response: configEntity,
    },
    async ({ params }) => {
      const entity = await readEntity(db, 'config', keyOf(params))
      if (!entity) throw await notFound(db, 'config', referenceOf(keyOf(params)))
      return await present(entity)
    },
  )
  route(
    app,
    {
      method: 'PATCH',
      path: item,
      id: 'update_customization_config',
      summary: 'Change a config; fields that are absent or null keep their value',
      body: configUpdate,
      response: configEntity,
    },
    async ({ body, params }) => {
      refuseUnstorable(body)
      const entity = await updateEntity(db, 'config', keyOf(params), (old) => patchedConfig(old, body))
      if (!entity) throw await notFound(db, 'config', referenceOf(keyOf(params)))
      return { ...(await present(entity)), warning_message: null }
    },
  )
  route(
    app,
    {
      method: 'DELETE',
      path: item,
      id: 'delete_customization_config',
      summary: 'Delete a config; jobs made with it keep their own copy',
      response: deleteResponse,
    },
    async ({ params }) => {
      const id = (await deleteEntity(db, 'config', keyOf(params)))?.id
      if (!id) throw await notFound(db, 'config', referenceOf(keyOf(params)))
      return { id, deleted_at: nowMicros(), message: 'Resource deleted successfully.' }
    },
  )
}

/** The target that a new config names; without one, the target with the config's own name (any version). */
async function resolveTarget(db: Queryable, body: ConfigCreate, entity: Entity): Promise<Entity> {
  const given = body.target
  if (typeof given === 'string') return await findByReference(db, 'target', given)
  if (given?.name) {
    return await findByReference(
      db,
      'target',
      given.namespace ? `${given.namespace}/${given.name}` : given.name,
    )
  }
  if (given?.base_model) return await findByReference(db, 'target', given.base_model)
  const own = referenceOf(entity).split('@')[0] ?? ''
  const found = await findByReference(db, 'target', own).catch(() => undefined)
  if (!found)
    throw invalid(['body', 'target'], 'Field required: name the target, as "ns/name@version"', 'missing')
  return found
}

/** Adds, removes and replaces training options, then the other fields. Throws a 422 when none would be left. */
export function patchedConfig(old: Entity, body: ConfigUpdate): Entity {
  const { add_training_options, remove_training_options, training_options, ...fields } = body
  let next = training_options ?? options(old)
  for (const gone of remove_training_options ?? []) next = next.filter((o) => !isSame(o, gone))
  for (const added of add_training_options ?? []) next = [...next.filter((o) => !isSame(o, added)), added]
  if (next.length === 0) {
    throw invalid(['body', 'remove_training_options'], 'a config needs at least one training option')
  }
  checkOptions(next)
  const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null))
  return { ...old, ...given, target: old.target, training_options: next }
}

function checkOptions(all: TrainingOption[]): void {
  all.forEach((option, i) => {
    if (all.findIndex((other) => isSame(other, option)) === i) return
    const what = `${option.training_type} with ${option.finetuning_type}`
    throw invalid(['body', 'training_options', i], `${what} is given twice`)
  })
}

const isSame = (
  a: { training_type: string; finetuning_type: string },
  b: { training_type: string; finetuning_type: string },
) => a.training_type === b.training_type && a.finetuning_type === b.finetuning_type
