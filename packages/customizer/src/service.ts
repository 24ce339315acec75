// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createEntityStoreClient } from '@open-nemo/contract/entity-store/client.ts'
import {
  ConfigError,
  createApp,
  migrate,
  type RunningService,
  type ServiceContext,
  serve,
} from '@open-nemo/runtime'
import type { Executor } from '@open-nemo/runtime/executors/index.ts'
import { createJobStore } from '@open-nemo/runtime/jobs/index.ts'
import { type CustomizerConfig, readConfig } from './config.ts'
import { clusterSeeds } from './entities/cluster-seeds.ts'
import { registerConfigs } from './entities/configs.ts'
import { seedCatalogue } from './entities/seeds.ts'
import { registerTargets } from './entities/targets.ts'
import { registerFineTuning } from './fine-tuning/routes.ts'
import { followRun } from './integrations/follow.ts'
import { createSealer } from './integrations/seal.ts'
import { readClusterFile, trackersOf } from './integrations/trackers.ts'
import { createInternalApp } from './internal/app.ts'
import { activeJobOf, type JobTable } from './jobs/list.ts'
import { registerJobs } from './jobs/routes.ts'
import type { JobPayload, JobState } from './jobs/types.ts'
import { migrations, SCHEMA } from './migrations.ts'
import type { Launcher } from './runner/launcher.ts'
import { createRunner } from './runner/runner.ts'

/** Starts the service with what trains (`launcher`) and where it runs (`executor`). */
export async function startCustomizer(
  ctx: ServiceContext,
  on: { launcher: Launcher; executor: Executor },
): Promise<RunningService & { internalUrl?: string }> {
  const config = readConfig(ctx.env)
  const { db, catalogue, log } = ctx
  await migrate(db, SCHEMA, migrations)
  await seedCatalogue(db, catalogue, await clusterSeeds(ctx.env.CONFIG_PATH, catalogue, log))
  const jobs = createJobStore<JobPayload, JobState>(db, SCHEMA)
  const sources = {
    entities: createEntityStoreClient({ baseUrl: ctx.urls['entity-store'], fetch: ctx.fetch }),
    fetch: ctx.fetch,
    dataStoreUrl: ctx.urls['data-store'],
  }
  const dir = join(ctx.dataDir, 'jobs')
  await mkdir(dir, { recursive: true })
  const sealer = await createSealer(ctx.dataDir, config.wandb.encryptionKey)
  const configPath = ctx.env.CONFIG_PATH
  // Servers outside the platform.
  const trackers = { config, configPath, sealer, fetch: globalThis.fetch }
  const tracking = {
    hasMlflow: async () =>
      Boolean(config.mlflowUrl ?? (await readClusterFile(configPath)).mlflow_tracking_url),
    hasWandbKey: config.wandb.apiKey !== undefined,
    seal: sealer.seal,
  }
  const runner = createRunner({
    ...sources,
    ...on,
    catalogue,
    config,
    inferenceUrl: ctx.urls.inference,
    serveWaitMs: config.serveWaitMs,
    jobs,
    owner: await ownerOf(ctx.dataDir),
    dir,
    log,
    track: (run) => followRun({ run, trackers: trackersOf(trackers, run.payload), log }),
  })
  const ready = async () => {
    await db.query('SELECT 1')
    return true
  }
  const app = createApp({ name: ctx.name, title: 'Customizer', log, metrics: ctx.metrics, ready })
  const entities = { app, db, catalogue, activeJobOf: (target: string) => activeJobOf(jobs, target) }
  registerTargets(entities)
  registerConfigs(entities)
  const jobRoutes = { app, runner, ctx: { ...sources, db, jobs, catalogue, tracking } }
  registerJobs(jobRoutes)
  registerFineTuning(jobRoutes)
  const internal = on.launcher.isRemote ? await listenForPods({ ctx, config, jobs, dir }) : undefined
  const stop = async () => {
    await runner.stop()
    await internal?.close()
  }
  return { app, ready, stop, ...(internal ? { internalUrl: internal.url } : {}) }
}

/** Opens the port that training pods fetch from and report to. */
async function listenForPods(on: {
  ctx: ServiceContext
  config: CustomizerConfig
  jobs: JobTable
  dir: string
}) {
  const { env } = on.ctx
  const internalToken = env.NEMO_INTERNAL_TOKEN
  if (!internalToken) {
    throw new ConfigError(
      'bad configuration:\n  NEMO_INTERNAL_TOKEN: must be set with NEMO_EXECUTOR=kubernetes, to the value that the training operator has',
    )
  }
  const app = createInternalApp({ ...on, internalToken })
  return await serve({
    fetch: (request, bindings) => app.fetch(request, bindings),
    host: env.NEMO_HOST ?? '127.0.0.1',
    port: on.config.internalPort,
    setting: 'NEMO_INTERNAL_PORT',
  })
}

/** A name that stays with the data folder: whoever has the folder may take up what its last user held. */
async function ownerOf(dataDir: string): Promise<string> {
  const path = join(dataDir, 'owner')
  const known = await readFile(path, 'utf8').catch(() => '')
  if (known) return known
  const owner = randomUUID()
  await writeFile(`${path}.tmp`, owner)
  await rename(`${path}.tmp`, path)
  return owner
}
