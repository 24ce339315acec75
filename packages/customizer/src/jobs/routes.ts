// SPDX-License-Identifier: Apache-2.0
import {
  deleteResponse,
  listEnvelope,
  listQuerySchema,
  nowMicros,
  pageSchema,
  parseListQuery,
} from '@open-nemo/contract'
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import { flatStatus, jobCreate, jobEntity, jobLogs } from '@open-nemo/contract/customization/schemas.ts'
import { type App, route } from '@open-nemo/runtime'
import type { Runner } from '../runner/runner.ts'
import { type CreateContext, createJob } from './create.ts'
import { type JobTable, listJobs, SORTABLE } from './list.ts'
import { readLogs } from './logs.ts'
import { presentJob, presentStatus } from './present.ts'
import { addLog, FINAL } from './progress.ts'
import type { CustomizationJob } from './types.ts'

export interface JobRoutes {
  app: App
  ctx: CreateContext
  runner: Runner
}

const PATH = '/v1/customization/jobs'

/** Registers the operations on jobs. */
export function registerJobs({ app, ctx, runner }: JobRoutes): void {
  const { jobs } = ctx
  const find = async (id: string): Promise<CustomizationJob> => {
    const job = id.includes('\0') ? undefined : await jobs.get(id)
    if (!job) throw errors.JOB_NOT_FOUND({ id })
    return job
  }
  const cancel = async (id: string) => {
    const job = await cancelJob(jobs, id)
    runner.cancel(id)
    return presentJob(job, nowMicros())
  }

  route(
    app,
    {
      method: 'POST',
      path: PATH,
      id: 'create_customization_job',
      summary: 'Create a customization job',
      body: jobCreate,
      response: jobEntity,
    },
    async ({ body, c }) => {
      const wandbKey = c.req.header('wandb-api-key')
      const job = await createJob(ctx, body, wandbKey ? { wandbKey } : {})
      runner.wake()
      return presentJob(job, nowMicros())
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: PATH,
      id: 'list_customization_jobs',
      summary: 'List customization jobs',
      query: listQuerySchema,
      response: pageSchema(jobEntity),
    },
    async (input) => {
      const query = parseListQuery(input.query, { sortable: SORTABLE })
      const { data, total } = await listJobs(jobs, query)
      const now = nowMicros()
      return listEnvelope({ data: data.map((job) => presentJob(job, now)), total, query })
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id`,
      id: 'get_customization_job',
      summary: 'Get a job',
      response: jobEntity,
    },
    async ({ params }) => presentJob(await find(params.id ?? ''), nowMicros()),
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/status`,
      id: 'get_customization_job_status',
      summary: "Get a job's status and metrics",
      response: flatStatus,
    },
    async ({ params }) => presentStatus(await find(params.id ?? ''), nowMicros()),
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/container-logs`,
      id: 'get_customization_job_logs',
      summary: 'Get what the programs of a job wrote',
      response: jobLogs,
    },
    async ({ params }) => {
      const job = await find(params.id ?? '')
      return readLogs(job, await runner.trainerLog(job.id))
    },
  )
  for (const path of [`${PATH}/:id/cancel`, '/v1/customizations/:id/cancel']) {
    route(
      app,
      {
        method: 'POST',
        path,
        id: path.startsWith(PATH) ? 'cancel_customization_job' : 'cancel_customization_job_legacy',
        summary: 'Cancel a job; it is cancelled within five seconds',
        response: jobEntity,
      },
      ({ params }) => cancel(params.id ?? ''),
    )
  }
  route(
    app,
    {
      method: 'DELETE',
      path: `${PATH}/:id`,
      id: 'delete_customization_job',
      summary: 'Delete a job that has ended; its model stays',
      response: deleteResponse,
    },
    async ({ params }) => {
      const job = await find(params.id ?? '')
      if (!(await jobs.delete(job.id, FINAL))) {
        throw errors.JOB_ACTIVE({ id: job.id, status: job.status })
      }
      await runner.forget(job.id)
      return { id: job.id, deleted_at: nowMicros(), message: 'Resource deleted successfully.' }
    },
  )
}

/** Ends a job that nobody works on at once, and asks the worker of another. Throws JOB_NOT_ACTIVE for one that has ended. */
export async function cancelJob(jobs: JobTable, id: string): Promise<CustomizationJob> {
  const now = nowMicros()
  const job = await jobs.update(id, (job) => {
    if (job.status === 'cancelling') return undefined
    if ((FINAL as readonly string[]).includes(job.status)) {
      throw errors.JOB_NOT_ACTIVE({ id, status: job.status })
    }
    const status = job.owner === null ? 'cancelled' : 'cancelling'
    const state = addLog(job.state, { updated_at: now, message: status })
    const ended_at = status === 'cancelled' ? now : null
    return { status, isCancelRequested: true, state: { ...state, ended_at } }
  })
  if (!job) throw errors.JOB_NOT_FOUND({ id })
  return job
}
