// SPDX-License-Identifier: Apache-2.0
import { invalid, listEnvelope, listQuerySchema, pageSchema, parseListQuery } from '@open-nemo/contract'
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import { type EvaluationResult, groupResult, taskResult } from '@open-nemo/contract/evaluation/results.ts'
import {
  jobCreateV2,
  jobResultsV2,
  jobResultV2,
  jobStatusV2,
  jobV2,
  logsV2,
} from '@open-nemo/contract/evaluation/v2.ts'
import { type App, route } from '@open-nemo/runtime'
import { z } from 'zod'
import { type ControlContext, cancelJob, deleteJob, findJob } from '../jobs/control.ts'
import { type CreateContext, createJobV2 } from '../jobs/create.ts'
import { listJobs } from '../jobs/list.ts'
import type { Job } from '../jobs/types.ts'
import { tarResponse } from '../report/download.ts'
import { filesOfJob, readLogs } from '../report/files.ts'
import { resultOfJob } from '../results/store.ts'
import { presentJobV2, presentLog, presentStatusV2 } from './present.ts'

export interface JobRoutesV2 extends ControlContext {
  app: App
  create: CreateContext
}

const PATH = '/v2/evaluation/jobs'
const RESULTS = 'evaluation-results'
const ARTIFACTS = 'artifacts'
const MAX_LOGS = 1000
const resultV2 = z.object({
  tasks: z.record(z.string(), taskResult),
  groups: z.record(z.string(), groupResult),
})

/** Registers the v2 operations on jobs. */
export function registerJobsV2(on: JobRoutesV2): void {
  registerLifecycle(on)
  registerOutputs(on)
}

function registerLifecycle(on: JobRoutesV2): void {
  const { app, jobs, runner } = on
  route(
    app,
    {
      method: 'POST',
      path: PATH,
      id: 'create_evaluation_job_v2',
      summary: 'Create an evaluation job',
      body: jobCreateV2,
      response: jobV2,
    },
    async ({ body }) => {
      const job = await createJobV2(on.create, body)
      runner.wake()
      return presentJobV2(job)
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: PATH,
      id: 'list_evaluation_jobs_v2',
      summary: 'List evaluation jobs',
      query: listQuerySchema,
      response: pageSchema(jobV2),
    },
    async (input) => {
      const query = parseListQuery(input.query, { sortable: ['created_at', 'updated_at'] })
      const { data, total } = await listJobs(jobs, 'v2', query, input.query)
      return listEnvelope({ data: data.map(presentJobV2), total, query })
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id`,
      id: 'get_evaluation_job_v2',
      summary: 'Get an evaluation job',
      response: jobV2,
    },
    async ({ params }) => presentJobV2(await findJob(jobs, 'v2', params.id ?? '')),
  )
  route(
    app,
    {
      method: 'DELETE',
      path: `${PATH}/:id`,
      id: 'delete_evaluation_job_v2',
      summary: 'Delete an evaluation job; one that runs is cancelled first',
    },
    async ({ params }) => {
      const job = await deleteJob(on, 'v2', params.id ?? '')
      return { id: job.id, message: 'Resource deleted successfully.' }
    },
  )
  route(
    app,
    {
      method: 'POST',
      path: `${PATH}/:id/cancel`,
      id: 'cancel_evaluation_job_v2',
      summary: 'Cancel an evaluation job; it is cancelled within five seconds',
      response: jobV2,
    },
    async ({ params }) => presentJobV2(await cancelJob(on, 'v2', params.id ?? '')),
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/status`,
      id: 'get_evaluation_job_status_v2',
      summary: 'Get the status of an evaluation job, its step and its tasks',
      response: jobStatusV2,
    },
    async ({ params }) => presentStatusV2(await findJob(jobs, 'v2', params.id ?? '')),
  )
}

function registerOutputs(on: JobRoutesV2): void {
  const { app, jobs, db } = on
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/logs`,
      id: 'get_evaluation_job_logs_v2',
      summary: 'Get the log of an evaluation job, page by page',
      query: z.object({ limit: z.int().min(1).max(MAX_LOGS).optional(), page_cursor: z.string().optional() }),
      response: logsV2,
    },
    async ({ params, query }) => {
      const job = await findJob(jobs, 'v2', params.id ?? '')
      const limit = whole(query, 'limit', 1, MAX_LOGS) ?? 100
      const after = whole(query, 'page_cursor', 0, Number.MAX_SAFE_INTEGER) ?? 0
      const lines = await readLogs(db, job.id, after, limit + 1)
      const page = lines.slice(0, limit)
      const [count] = await db.query<{ n: number }>(
        'SELECT count(*)::int AS n FROM evaluator.logs WHERE job = $1',
        [job.id],
      )
      return {
        object: 'list',
        data: page.map((line) => presentLog(job, line)),
        next_page: lines.length > limit ? String(page.at(-1)?.id) : '',
        prev_page: '',
        total: count?.n ?? 0,
      }
    },
  )
  const listed = async (job: Job) => {
    const result = await resultOfJob(db, job.id)
    const names = result ? [RESULTS, ARTIFACTS] : job.state.started_at ? [ARTIFACTS] : []
    return { result, data: names.map((name) => presentResult(job, name)) }
  }
  const findResult = async (id: string, name: string) => {
    const job = await findJob(jobs, 'v2', id)
    const { result, data } = await listed(job)
    const found = data.find((one) => one.result_name === name)
    if (!found && name === RESULTS) throw errors.RESULT_NOT_READY({ id, status: job.status })
    const known = data.map((one) => one.result_name).join(', ') || 'none yet'
    if (!found) throw errors.JOB_RESULT_NOT_FOUND({ id, name, known })
    return { job, result, found }
  }
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/results`,
      id: 'list_evaluation_job_results_v2',
      summary: 'List the results of an evaluation job',
      response: jobResultsV2,
    },
    async ({ params }) => {
      const { data } = await listed(await findJob(jobs, 'v2', params.id ?? ''))
      return { object: 'list', data }
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/results/:name`,
      id: 'get_evaluation_job_result_v2',
      summary: 'Get what is known of a result',
      response: jobResultV2,
    },
    async ({ params }) => (await findResult(params.id ?? '', params.name ?? '')).found,
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/results/:name/download`,
      id: 'download_evaluation_job_result_v2',
      summary: 'Download a result: evaluation-results as JSON, artifacts as a gzipped tar archive',
      response: resultV2,
    },
    async ({ params }) => {
      const { job, result, found } = await findResult(params.id ?? '', params.name ?? '')
      if (found.result_name === ARTIFACTS) return tarResponse(filesOfJob(db, job), `${job.id}.tar.gz`)
      return scoresOf(result)
    },
  )
}

function scoresOf(result: EvaluationResult | undefined) {
  return { tasks: result?.tasks ?? {}, groups: result?.groups ?? {} }
}

function presentResult(job: Job, name: string) {
  return {
    job_id: job.id,
    result_name: name,
    namespace: job.payload.namespace,
    project: job.payload.kept.project,
    artifact_url: `${PATH}/${job.id}/results/${name}/download`,
    artifact_storage_type: 'nds' as const,
    created_at: job.state.ended_at ?? job.updatedAt,
    updated_at: job.state.ended_at ?? job.updatedAt,
  }
}

function whole(query: URLSearchParams, name: string, min: number, max: number): number | undefined {
  const text = query.get(name)
  if (text === null || text === '') return undefined
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= min && value <= max) return value
  throw invalid(['query', name], `must be a whole number from ${min} to ${max}`, 'int_parsing')
}
