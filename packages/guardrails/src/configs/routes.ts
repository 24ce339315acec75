// SPDX-License-Identifier: Apache-2.0
import {
  deleteResponse,
  invalid,
  type ListQuery,
  listEnvelope,
  listQuerySchema,
  nowMicros,
  pageSchema,
  parseListQuery,
  refuseUnstorable,
} from '@open-nemo/contract'
import type { ConfigData } from '@open-nemo/contract/guardrails/config-data.ts'
import { guardrailsErrors as errors } from '@open-nemo/contract/guardrails/errors.ts'
import {
  configCreate,
  configUpdate,
  type GuardrailConfig,
  guardrailConfig,
} from '@open-nemo/contract/guardrails/schemas.ts'
import { type App, type Database, route } from '@open-nemo/runtime'
import type { ConfigCatalogue } from './catalogue.ts'
import { expandData, withoutDefaults } from './expand.ts'
import { masked } from './secrets.ts'
import {
  deleteConfig,
  idOf,
  insertConfig,
  newConfig,
  patchedConfig,
  readConfig,
  readConfigs,
  replaceConfig,
} from './store.ts'

export interface ConfigRoutes {
  app: App
  db: Database
  configs: ConfigCatalogue
}

const PATH = '/v1/guardrail/configs'
const SORTABLE = ['created_at', 'updated_at', 'name', 'namespace', 'project', 'description']
const FILTERABLE = [
  'name',
  'namespace',
  'project',
  'description',
  'files_url',
  'created_at',
  'updated_at',
  'schema_version',
]

/** A configuration as answered: defaults filled in, keys masked. */
function present(config: GuardrailConfig): GuardrailConfig {
  const { data, ...rest } = config
  return data ? { ...rest, data: masked(expandData(data as ConfigData)) } : rest
}

const own = <T extends { data?: ConfigData | null | undefined }>(body: T): T =>
  body.data ? { ...body, data: withoutDefaults(body.data) } : body

/** Registers the five operations on configurations. */
export function registerConfigs(on: ConfigRoutes): void {
  const { app, db, configs } = on
  const keyOf = ({ namespace = '', name = '' }: Record<string, string>) => ({ namespace, name })
  const item = `${PATH}/:namespace/:name`

  route(
    app,
    {
      method: 'POST',
      path: PATH,
      id: 'create_guardrail_config',
      summary: 'Create a guardrails configuration; what is not supported is refused',
      body: configCreate,
      response: guardrailConfig,
    },
    async ({ body }) => {
      refuseUnstorable(body)
      if (!body.data && !body.files_url) throw invalid(['body', 'data'], 'give data, or files_url', 'missing')
      const config = newConfig(own(body))
      await configs.check(config)
      if (!(await insertConfig(db, config)))
        throw errors.CONFIG_EXISTS({ namespace: config.namespace, name: config.name })
      configs.forget(config)
      return present(config)
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: PATH,
      id: 'list_guardrail_configs',
      summary: 'List configurations, those of the config store folder among them',
      query: listQuerySchema,
      response: pageSchema(guardrailConfig),
    },
    async (input) => {
      const query = parseListQuery(input.query, { sortable: SORTABLE })
      const stored = await readConfigs(db)
      const names = new Set(stored.map(idOf))
      const inFolder = (await configs.folderDocuments()).filter((c) => !names.has(idOf(c)))
      const found = filtered([...inFolder, ...stored], query)
      const start = (query.page - 1) * query.pageSize
      const data = sorted(found, query)
        .slice(start, start + query.pageSize)
        .map(present)
      return listEnvelope({ data, total: found.length, query })
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: item,
      id: 'get_guardrail_config',
      summary: 'Get a configuration',
      response: guardrailConfig,
    },
    async ({ params }) => {
      const config = (await readConfig(db, keyOf(params))) ?? (await configs.find(keyOf(params)))
      if (!config) throw errors.CONFIG_NOT_FOUND({ id: idOf(keyOf(params)) })
      return present(config)
    },
  )
  route(
    app,
    {
      method: 'PATCH',
      path: item,
      id: 'update_guardrail_config',
      summary: 'Change a configuration; empty fields keep their old value',
      body: configUpdate,
      response: guardrailConfig,
    },
    async ({ params, body }) => {
      refuseUnstorable(body)
      return present(await change(on, keyOf(params), own(body)))
    },
  )
  route(
    app,
    {
      method: 'DELETE',
      path: item,
      id: 'delete_guardrail_config',
      summary: 'Delete a configuration',
      response: deleteResponse,
    },
    async ({ params }) => {
      const key = keyOf(params)
      if (!(await deleteConfig(db, key))) throw await absent(on, key)
      configs.forget(key)
      return { id: idOf(key), deleted_at: nowMicros(), message: 'Resource deleted successfully.' }
    },
  )
}

/** Changes a configuration; a change that came between is taken into account. */
async function change(
  on: ConfigRoutes,
  key: { namespace: string; name: string },
  patch: Record<string, unknown>,
): Promise<GuardrailConfig> {
  for (;;) {
    const old = await readConfig(on.db, key)
    if (!old) throw await absent(on, key)
    const next = patchedConfig(old, patch)
    await on.configs.check(next)
    if (await replaceConfig(on.db, old, next)) {
      on.configs.forget(key)
      return next
    }
  }
}

async function absent({ configs }: ConfigRoutes, key: { namespace: string; name: string }): Promise<Error> {
  const id = idOf(key)
  return (await configs.find(key)) ? errors.CONFIG_READ_ONLY({ id }) : errors.CONFIG_NOT_FOUND({ id })
}

function filtered(all: GuardrailConfig[], { filter }: ListQuery): GuardrailConfig[] {
  const tests = Object.entries(filter).map(([key, wanted]) => {
    if (!FILTERABLE.includes(key))
      throw invalid(
        ['query', `filter[${key}]`],
        `cannot filter by "${key}"; use one of ${FILTERABLE.join(', ')}`,
      )
    return (config: GuardrailConfig) => matches(String(config[key] ?? ''), wanted, key)
  })
  return all.filter((config) => tests.every((test) => test(config)))
}

function matches(value: string, wanted: ListQuery['filter'][string], key: string): boolean {
  if (typeof wanted === 'string') return value === wanted
  return Object.entries(wanted).every(([operator, bound]) => {
    const limit = String(bound).replace(/(Z|[+-]00:00)$/, '')
    if (operator === 'gte' || operator === 'start') return value >= limit
    if (operator === 'lte' || operator === 'end') return value <= limit
    if (operator === 'gt') return value > limit
    if (operator === 'lt') return value < limit
    if (operator === 'eq') return value === bound
    throw invalid(['query', `filter[${key}][${operator}]`], 'use eq, gt, gte, lt or lte')
  })
}

function sorted(configs: GuardrailConfig[], { sort }: ListQuery): GuardrailConfig[] {
  const sign = sort.desc ? -1 : 1
  const read = (config: GuardrailConfig) => String(config[sort.field] ?? '')
  return [...configs].sort((a, b) => sign * (read(a) < read(b) ? -1 : read(a) > read(b) ? 1 : 0))
}
