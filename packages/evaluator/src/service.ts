// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createEntityStoreClient } from '@open-nemo/contract/entity-store/client.ts'
import { createApp, migrate, type RunningService, type ServiceContext } from '@open-nemo/runtime'
import { createJobStore } from '@open-nemo/runtime/jobs/index.ts'
import { createCheckContext } from './check.ts'
import { readConfig } from './config.ts'
import { createDispatcher } from './dispatch/dispatcher.ts'
import type { Launcher } from './dispatch/types.ts'
import { registerEntities } from './entities/routes.ts'
import { registerJobs } from './jobs/routes.ts'
import type { JobPayload, JobState } from './jobs/types.ts'
import { KINDS } from './kinds/registry.ts'
import type { EvaluationKind } from './kinds/types.ts'
import { migrations, SCHEMA } from './migrations.ts'
import { registerResults } from './results/routes.ts'
import type { JobServices } from './runner/job.ts'
import { createRunner } from './runner/runner.ts'
import { createTemplateEngine } from './templates/engine.ts'
import { registerJobsV2 } from './v2/routes.ts'

/** What jobs need to run, wherever they run: in the service, or alone in a pod. */
export async function createJobServices(
  ctx: ServiceContext,
  kinds: readonly EvaluationKind[] = KINDS,
): Promise<JobServices> {
  const { db, fetch, log } = ctx
  const settings = readConfig(ctx.env)
  await migrate(db, SCHEMA, migrations)
  const entities = createEntityStoreClient({
    baseUrl: ctx.urls['entity-store'],
    fetch,
    ...(settings.internalToken ? { internalToken: settings.internalToken } : {}),
  })
  const dir = join(ctx.dataDir, 'jobs')
  await mkdir(dir, { recursive: true })
  return {
    settings,
    db,
    jobs: createJobStore<JobPayload, JobState>(db, SCHEMA),
    kinds,
    log,
    owner: await ownerOf(ctx.dataDir),
    dir,
    cacheDir: ctx.cacheDir,
    fetch,
    templates: createTemplateEngine(),
    models: { entities, fetch, inferenceUrl: ctx.urls.inference },
    data: { entities, fetch, dataStoreUrl: ctx.urls['data-store'] },
  }
}

export interface EvaluatorOptions {
  kinds?: readonly EvaluationKind[] | undefined
  leaseMs?: number
  idleMs?: number
  /** Runs jobs elsewhere; without one they run in this process. */
  launcher?: Launcher | undefined
}

/** Starts the service with the kinds of evaluation that it offers. */
export async function startEvaluator(
  ctx: ServiceContext,
  options: EvaluatorOptions = {},
): Promise<RunningService> {
  const { db, log } = ctx
  const services = await createJobServices(ctx, options.kinds)
  const { jobs, kinds, templates } = services
  const { launcher, ...timing } = options
  const runner = launcher
    ? createDispatcher({ db, jobs, log, launcher, limit: services.settings.jobs, ...timing })
    : createRunner({ ...services, ...timing, kinds })
  const ready = async () => {
    await db.query('SELECT 1')
    return true
  }
  const app = createApp({ name: ctx.name, title: 'Evaluator', log, metrics: ctx.metrics, ready })
  const check = createCheckContext(services)
  const create = { db, jobs, check, kinds }
  registerEntities({ app, db })
  registerResults({ app, db })
  registerJobs({ app, db, jobs, runner, create, live: { ...services, check, kinds } })
  registerJobsV2({ app, db, jobs, runner, create })
  return {
    app,
    ready,
    async stop() {
      await runner.stop()
      await templates.close()
    },
  }
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
