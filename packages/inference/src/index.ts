// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { createDataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import { createEntityStoreClient } from '@open-nemo/contract/entity-store/client.ts'
import { createApp, parseConfig, type RunningService, type ServiceContext } from '@open-nemo/runtime'
import { startDiscovery } from './adapters/discovery.ts'
import { inferenceConfig } from './config.ts'
import { readDeployed, registerDeployments } from './deployment/routes.ts'
import { createServing } from './deployment/serving.ts'
import { prepareStore } from './deployment/store.ts'
import { createEmbedders } from './embedding/embedders.ts'
import { createBaseModels, type EngineStarter } from './models/base-models.ts'
import { createServedModels, type ServedModels } from './models/served-models.ts'
import { createRankers } from './ranking/rankers.ts'
import { registerGenerate } from './routes/generate.ts'
import { registerNim } from './routes/nim.ts'
import { registerTokenize } from './routes/tokenize.ts'
import { createTransport, type Transport } from './upstream/transport.ts'

/** The NIM: an OpenAI-compatible API over base models, hot-loaded LoRA adapters and upstream servers. */
export const service = {
  name: 'inference' as const,
  start: (ctx: ServiceContext): Promise<RunningService> => startInference(ctx),
}

/** Time that requests in work have to end when the service stops. */
const DRAIN_MS = 8000

/** Starts the service; tests give their own engine and way to upstreams. The model loads in the background. */
export async function startInference(
  ctx: ServiceContext,
  engine?: EngineStarter,
  given?: Transport,
): Promise<RunningService> {
  const config = parseConfig(inferenceConfig, ctx.env)
  const bases = createBaseModels(ctx, config, engine)
  const embedders = createEmbedders(ctx, config, engine)
  const rankers = createRankers(ctx, config, engine)
  const { fetch, log, metrics, catalogue } = ctx
  const transport = createTransport(fetch)
  const discovery = startDiscovery({
    entities: createEntityStoreClient({
      baseUrl: config.NIM_PEFT_SOURCE ?? ctx.urls['entity-store'],
      fetch,
      ...(config.NEMO_INTERNAL_TOKEN ? { internalToken: config.NEMO_INTERNAL_TOKEN } : {}),
    }),
    store: createDataStoreClient({ baseUrl: ctx.urls['data-store'], fetch }),
    bases,
    embedders,
    dir: join(ctx.dataDir, 'adapters'),
    log,
    intervalMs: config.NIM_PEFT_REFRESH_INTERVAL * 1000,
  })
  const started = Math.floor(Date.now() / 1000)
  const serving = createServing((name) => served.known(name), fetch)
  const served: ServedModels = createServedModels({
    catalogue,
    config,
    bases,
    embedders,
    rankers,
    discovery,
    deployed: serving,
    started,
  })
  await prepareStore(ctx.db)
  const deployed = await readDeployed(ctx.db)
  serving.set(deployed)
  // Deployed models load at start.
  for (const each of deployed) serving.status(each)
  const app = createApp({
    name: ctx.name,
    title: 'Inference',
    log,
    metrics,
    errorStyle: 'openai',
    ownHealth: true,
  })
  const working = new Set<Promise<unknown>>()
  const track = <T>(work: Promise<T>): Promise<T> => {
    working.add(work)
    const done = () => working.delete(work)
    work.then(done, done)
    return work
  }
  registerNim({ app, catalogue, bases, served, discovery })
  registerTokenize({ app, config, bases, served })
  registerGenerate({ app, config, served, send: given ?? transport, track })
  registerDeployments({ app, db: ctx.db, serving, url: ctx.publicUrls.inference })
  return {
    app,
    ready: () => bases.primary === undefined || bases.primary.engine.state().status === 'ready',
    stop: async () => {
      const drained = Promise.allSettled([...working])
      let timer: NodeJS.Timeout | undefined
      const late = new Promise((resolve) => {
        timer = setTimeout(resolve, DRAIN_MS)
      })
      await Promise.race([drained, late])
      clearTimeout(timer)
      transport.close()
      await Promise.all([discovery.stop(), bases.stop(), embedders.stop(), rankers.stop()])
    },
  }
}
