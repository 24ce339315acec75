// SPDX-License-Identifier: Apache-2.0
import {
  deleteResponse,
  listQuerySchema,
  nowMicros,
  pageSchema,
  refuseUnstorable,
  stated,
} from '@open-nemo/contract'
import { deploymentErrors as errors } from '@open-nemo/contract/deployment/errors.ts'
import {
  deploymentConfig,
  deploymentConfigCreate,
  deploymentConfigUpdate,
  modelDeployment,
  modelDeploymentCreate,
  modelDeploymentUpdate,
} from '@open-nemo/contract/deployment/schemas.ts'
import { type App, type Database, route } from '@open-nemo/runtime'
import { patched, shown, withKey } from './keys.ts'
import { page } from './page.ts'
import type { Deployed, Serving } from './serving.ts'
import {
  deleteEntity,
  type Entity,
  insertEntity,
  type Key,
  keyOf,
  newEntity,
  readEntities,
  readEntity,
  referenceOf,
  updateEntity,
} from './store.ts'

export interface DeploymentRoutes {
  app: App
  db: Database
  serving: Serving
  /** Where clients reach the models. */
  url: string
}

const CONFIGS = '/v1/deployment/configs'
const DEPLOYMENTS = '/v1/deployment/model-deployments'
const ITEM = '/:namespace/:name{.+}'
const key = ({ namespace = '', name = '' }: Record<string, string>): Key => ({ namespace, name })
const deleted = (entity: Entity) => ({
  id: entity.id,
  deleted_at: nowMicros(),
  message: 'Resource deleted successfully.',
})

/** The ten operations on deployment configs and model deployments. */
export function registerDeployments(on: DeploymentRoutes): void {
  registerConfigs(on)
  registerModelDeployments(on)
}

/** All deployments with their configs, to serve what they name. */
export async function readDeployed(db: Database): Promise<Deployed[]> {
  const configs = new Map((await readEntities(db, 'config')).map((config) => [referenceOf(config), config]))
  return (await readEntities(db, 'deployment')).map((deployment) => ({
    deployment,
    config: configOf(deployment, configs),
  }))
}

function configOf(deployment: Entity, configs: Map<string, Entity>): Record<string, unknown> {
  const { config } = deployment
  if (typeof config !== 'string') return (config ?? {}) as Record<string, unknown>
  return configs.get(referenceOf(keyOf(config))) ?? {}
}

function registerConfigs({ app, db, serving }: DeploymentRoutes): void {
  const notFound = (at: Key) => errors.CONFIG_NOT_FOUND({ name: referenceOf(at) })
  const one = { response: deploymentConfig }
  route(
    app,
    {
      method: 'POST',
      path: CONFIGS,
      id: 'create_deployment_config',
      summary: 'Create a deployment config',
      body: deploymentConfigCreate,
      ...one,
    },
    async ({ body }) => {
      refuseUnstorable(body)
      const entity = newEntity('config', withKey(body))
      if (!(await insertEntity(db, 'config', entity)))
        throw errors.CONFIG_EXISTS({ name: referenceOf(entity) })
      return shown(entity)
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: CONFIGS,
      id: 'list_deployment_configs',
      summary: 'List deployment configs',
      query: listQuerySchema,
      response: pageSchema(deploymentConfig),
    },
    async ({ query }) => page((await readEntities(db, 'config')).map(shown), query),
  )
  const item = { path: `${CONFIGS}${ITEM}` }
  route(
    app,
    { method: 'GET', ...item, id: 'get_deployment_config', summary: 'Get a deployment config', ...one },
    async ({ params }) => {
      const entity = await readEntity(db, 'config', key(params))
      if (!entity) throw notFound(key(params))
      return shown(entity)
    },
  )
  route(
    app,
    {
      method: 'PATCH',
      ...item,
      id: 'update_deployment_config',
      summary: 'Change a deployment config; absent fields keep their value',
      body: deploymentConfigUpdate,
      ...one,
    },
    async ({ params, body }) => {
      refuseUnstorable(body)
      const entity = await updateEntity(db, 'config', key(params), (old) => patched(old, body))
      if (!entity) throw notFound(key(params))
      serving.set(await readDeployed(db))
      return shown(entity)
    },
  )
  route(
    app,
    {
      method: 'DELETE',
      ...item,
      id: 'delete_deployment_config',
      summary: 'Delete a deployment config',
      response: deleteResponse,
    },
    async ({ params }) => {
      const reference = referenceOf(key(params))
      const users = (await readEntities(db, 'deployment')).filter(
        ({ config }) => typeof config === 'string' && referenceOf(keyOf(config)) === reference,
      )
      if (users.length > 0) {
        throw errors.CONFIG_IN_USE({ name: reference, deployments: users.map(referenceOf).join(', ') })
      }
      const entity = await deleteEntity(db, 'config', key(params))
      if (!entity) throw notFound(key(params))
      return deleted(entity)
    },
  )
}

function registerModelDeployments({ app, db, serving, url }: DeploymentRoutes): void {
  const notFound = (at: Key) => errors.DEPLOYMENT_NOT_FOUND({ name: referenceOf(at) })
  const one = { response: modelDeployment }
  const present = ({ deployment, config }: Deployed): Entity => {
    const status_details = serving.status({ deployment, config })
    const deployed = status_details.status === 'ready'
    const own = deployment.config
    const shownConfig = typeof own === 'string' ? own : shown(own as Record<string, unknown>)
    return { ...deployment, config: shownConfig, deployed, status_details, url: deployed ? url : '' }
  }
  const read = async (at: Key): Promise<Deployed> => {
    const found = (await readDeployed(db)).find(
      ({ deployment }) => referenceOf(deployment) === referenceOf(at),
    )
    if (!found) throw notFound(at)
    return found
  }
  /** Throws unless the config that is named exists. */
  const checkConfig = async (config: unknown) => {
    if (typeof config === 'string' && !(await readEntity(db, 'config', keyOf(config)))) {
      throw errors.CONFIG_NOT_FOUND({ name: config, field: 'config' })
    }
  }
  const withoutToken = ({ hf_token: _, ...body }: Record<string, unknown>) => body

  route(
    app,
    {
      method: 'POST',
      path: DEPLOYMENTS,
      id: 'create_model_deployment',
      summary: 'Deploy a model',
      body: modelDeploymentCreate,
      ...one,
    },
    async ({ body }) => {
      refuseUnstorable(body)
      await checkConfig(body.config)
      if (typeof body.config === 'object') withKey(body.config, undefined, ['config'])
      const entity = newEntity('deployment', withoutToken(body))
      entity.async_enabled = body.async_enabled ?? false
      if (!(await insertEntity(db, 'deployment', entity))) {
        const taken = errors.DEPLOYMENT_EXISTS({ name: referenceOf(entity) })
        throw taken.with({ 'x-should-retry': 'false' })
      }
      const all = await readDeployed(db)
      serving.set(all)
      // Begins to load the model; the answer is that of a deployment just made, as on the real platform.
      const made = all.find(({ deployment }) => deployment.id === entity.id)
      if (made) serving.status(made)
      const status_details = { status: 'pending', description: 'Model deployment created' }
      const config =
        typeof entity.config === 'string' ? entity.config : shown(entity.config as Record<string, unknown>)
      return { ...entity, config, deployed: false, url: '', status_details }
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: DEPLOYMENTS,
      id: 'list_model_deployments',
      summary: 'List model deployments',
      query: listQuerySchema,
      response: pageSchema(modelDeployment),
    },
    async ({ query }) => page((await readDeployed(db)).map(present), query),
  )
  const item = { path: `${DEPLOYMENTS}${ITEM}` }
  route(
    app,
    { method: 'GET', ...item, id: 'get_model_deployment', summary: 'Get a model deployment', ...one },
    async ({ params }) => present(await read(key(params))),
  )
  route(
    app,
    {
      method: 'PATCH',
      ...item,
      id: 'update_model_deployment',
      summary: 'Change a model deployment; absent fields keep their value',
      body: modelDeploymentUpdate,
      ...one,
    },
    async ({ params, body }) => {
      refuseUnstorable(body)
      await checkConfig(body.config)
      const change = (old: Entity) => {
        const next = { ...old, ...stated(withoutToken(body)) } as Record<string, unknown>
        if (typeof next.config !== 'object') return next
        const before = typeof old.config === 'object' ? (old.config as Record<string, unknown>) : {}
        return { ...next, config: patched(before, next.config as Record<string, unknown>, ['config']) }
      }
      const entity = await updateEntity(db, 'deployment', key(params), change)
      if (!entity) throw notFound(key(params))
      serving.set(await readDeployed(db))
      return present(await read(key(params)))
    },
  )
  route(
    app,
    {
      method: 'DELETE',
      ...item,
      id: 'delete_model_deployment',
      summary: 'Take a model deployment away',
      response: deleteResponse,
    },
    async ({ params }) => {
      const entity = await deleteEntity(db, 'deployment', key(params))
      if (!entity) throw notFound(key(params))
      serving.set(await readDeployed(db))
      return deleted(entity)
    },
  )
}
