// SPDX-License-Identifier: Apache-2.0
import { listEnvelope, listQuerySchema, pageSchema, parseListQuery } from '@open-nemo/contract'
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import { evaluationResult, liveEvaluation } from '@open-nemo/contract/evaluation/results.ts'
import { jobCreate, jobEntity, liveCreate, statusDetails } from '@open-nemo/contract/evaluation/schemas.ts'
import { type App, route } from '@open-nemo/runtime'
import { zipResponse } from '../report/download.ts'
import { filesOfJob, logFile } from '../report/files.ts'
import { resultOfJob } from '../results/store.ts'
import { type ControlContext, cancelJob, deleteJob, findJob } from './control.ts'
import { type CreateContext, createJob } from './create.ts'
import { listJobs, SORTABLE } from './list.ts'
import { type LiveServices, runLive } from './live.ts'
import { presentDetails, presentJob } from './present.ts'

export interface JobRoutes extends ControlContext {
  app: App
  create: CreateContext
  live: LiveServices
}

const PATH = '/v1/evaluation/jobs'

/** Registers the v1 operations on jobs, and live evaluation. */
export function registerJobs(on: JobRoutes): void {
  const { app, jobs, db, runner } = on
  route(
    app,
    {
      method: 'POST',
      path: PATH,
      id: 'create_evaluation_job',
      summary: 'Start an evaluation job',
      body: jobCreate,
      response: jobEntity,
    },
    async ({ body }) => {
      const job = await createJob(on.create, body)
      runner.wake()
      return presentJob(job)
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: PATH,
      id: 'list_evaluation_jobs',
      summary: 'List evaluation jobs',
      query: listQuerySchema,
      response: pageSchema(jobEntity),
    },
    async (input) => {
      const query = parseListQuery(input.query, { sortable: SORTABLE })
      const { data, total } = await listJobs(jobs, 'v1', query, input.query)
      return listEnvelope({ data: data.map(presentJob), total, query })
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id`,
      id: 'get_evaluation_job',
      summary: 'Get an evaluation job',
      response: jobEntity,
    },
    async ({ params }) => presentJob(await findJob(jobs, 'v1', params.id ?? '')),
  )
  route(
    app,
    {
      method: 'DELETE',
      path: `${PATH}/:id`,
      id: 'delete_evaluation_job',
      summary: 'Delete an evaluation job; one that runs is cancelled first',
      status: 204,
    },
    async ({ params }) => {
      await deleteJob(on, 'v1', params.id ?? '')
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/status`,
      id: 'get_evaluation_job_status',
      summary: "Get the details of an evaluation job's status",
      response: statusDetails,
    },
    async ({ params }) => {
      const job = await findJob(jobs, 'v1', params.id ?? '')
      return presentDetails(job.state, job.status)
    },
  )
  route(
    app,
    {
      method: 'POST',
      path: `${PATH}/:id/cancel`,
      id: 'cancel_evaluation_job',
      summary: 'Cancel an evaluation job; it is cancelled within five seconds',
      response: jobEntity,
    },
    async ({ params }) => presentJob(await cancelJob(on, 'v1', params.id ?? '')),
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/results`,
      id: 'get_evaluation_job_results',
      summary: 'Get the results of an evaluation job',
      response: evaluationResult,
    },
    async ({ params }) => {
      const job = await findJob(jobs, 'v1', params.id ?? '')
      const result = await resultOfJob(db, job.id)
      if (!result) throw errors.RESULT_NOT_READY({ id: job.id, status: job.status })
      return result
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/logs`,
      id: 'get_evaluation_job_logs',
      summary: 'Download the logs of an evaluation job as a ZIP archive',
    },
    async ({ params }) => {
      const job = await findJob(jobs, 'v1', params.id ?? '')
      const file = logFile(db, job.id)
      return zipResponse(
        (async function* () {
          yield file
        })(),
        `${job.id}-logs.zip`,
      )
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/download-results`,
      id: 'download_evaluation_job_results',
      summary: 'Download config, log, samples, results and report of an evaluation job as a ZIP archive',
    },
    async ({ params }) => {
      const job = await findJob(jobs, 'v1', params.id ?? '')
      return zipResponse(filesOfJob(db, job), `${job.id}.zip`)
    },
  )
  route(
    app,
    {
      method: 'POST',
      path: '/v1/evaluation/live',
      id: 'live_evaluation',
      summary: 'Evaluate rows at once; nothing is stored',
      body: liveCreate,
      response: liveEvaluation,
    },
    async ({ body, c }) => await runLive(on.live, body, c.req.raw.signal),
  )
}
