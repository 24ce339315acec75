// SPDX-License-Identifier: Apache-2.0
import { fileURLToPath } from 'node:url'
import { createDataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import {
  createApp,
  migrate,
  parseConfig,
  type RunningService,
  type ServiceContext,
  type ServiceDefinition,
} from '@open-nemo/runtime'
import { cors } from 'hono/cors'
import { createCatalogue } from './configs/catalogue.ts'
import { registerConfigs } from './configs/routes.ts'
import { registerGuarded } from './http/routes.ts'
import { migrations, SCHEMA } from './migrations.ts'
import { createEmbedder } from './models/embed.ts'
import { createRegexGuard } from './regex/guard.ts'
import { guardrailsSettings } from './settings.ts'

/** Configurations of rails, and models behind them. */
export const service: ServiceDefinition = { name: 'guardrails', start }

/** Time that requests in work have to end when the service stops. */
const DRAIN_MS = 8000
/** Configurations that are there without any having been made. */
const BUILT_IN = fileURLToPath(new URL('../config-store', import.meta.url))

async function start(ctx: ServiceContext): Promise<RunningService> {
  const settings = parseConfig(guardrailsSettings, ctx.env)
  const { db, fetch, log } = ctx
  await migrate(db, SCHEMA, migrations)
  const nimUrl = (settings.NIM_ENDPOINT_URL ?? `${ctx.urls.inference}/v1`).replace(/\/+$/, '')
  const models = { nimUrl, nimKey: settings.NIM_ENDPOINT_API_KEY, env: ctx.env }
  const regex = createRegexGuard({ limitMs: settings.NEMO_GUARDRAILS_REGEX_LIMIT })
  const services = {
    fetch,
    models,
    regex,
    railTimeoutMs: settings.NEMO_GUARDRAILS_RAIL_TIMEOUT * 1000,
    embed: createEmbedder({ model: settings.NEMO_GUARDRAILS_EMBEDDING_MODEL, models, fetch }),
    onRailFailure: (failure: { rail: string; reason: string }) =>
      log.warn(failure, 'a rail could not decide'),
  }
  const folders = [settings.CONFIG_STORE_PATH, BUILT_IN].filter((path) => path !== undefined)
  const store = createDataStoreClient({ baseUrl: ctx.urls['data-store'], fetch })
  const defaultId = settings.DEFAULT_CONFIG_ID
  const configs = createCatalogue({ db, store, services, folders, defaultId })
  const ready = async () => (await db.query('SELECT 1')).length === 1
  const app = createApp({ name: ctx.name, title: 'Guardrails', log, metrics: ctx.metrics, ready })
  if (settings.NEMO_GUARDRAILS_SERVER_ENABLE_CORS) {
    const origins = settings.NEMO_GUARDRAILS_SERVER_ALLOWED_ORIGINS.split(',').map((o) => o.trim())
    app.use('*', cors({ origin: origins.includes('*') ? '*' : origins }))
  }
  const working = new Set<Promise<unknown>>()
  const track = <T>(work: Promise<T>): Promise<T> => {
    working.add(work)
    const done = () => working.delete(work)
    work.then(done, done)
    return work
  }
  registerConfigs({ app, db, configs })
  const bodyLimit = settings.NEMO_GUARDRAILS_BODY_LIMIT * 1024 * 1024
  registerGuarded({ app, configs, services, defaultId, bodyLimit, track })
  return {
    app,
    ready,
    stop: async () => {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise((resolve) => {
        timer = setTimeout(resolve, DRAIN_MS)
      })
      await Promise.race([Promise.allSettled([...working]), late])
      clearTimeout(timer)
      await regex.close()
    },
  }
}
