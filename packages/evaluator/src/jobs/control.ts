// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { nowMicros } from '@open-nemo/contract'
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { Database } from '@open-nemo/runtime'
import type { Runner } from '../runner/runner.ts'
import { FINAL, type Job, type JobKind, type JobTable } from './types.ts'

export interface ControlContext {
  db: Database
  jobs: JobTable
  runner: Runner
}

const STOP_MS = 5000

/** A job of one API. Throws JOB_NOT_FOUND. */
export async function findJob(jobs: JobTable, kind: JobKind, id: string): Promise<Job> {
  const job = id.includes('\0') ? undefined : await jobs.get(id)
  if (job?.kind !== kind) throw errors.JOB_NOT_FOUND({ id, version: kind })
  return job
}

/** Ends a job that nobody works on at once, and asks the worker of another. Throws JOB_NOT_ACTIVE for one that ended otherwise. */
export async function cancelJob(ctx: ControlContext, kind: JobKind, id: string): Promise<Job> {
  await findJob(ctx.jobs, kind, id)
  const job = await ctx.jobs.update(id, (job) => {
    if (job.status === 'cancelling' || job.status === 'cancelled') return undefined
    if (FINAL.includes(job.status)) throw errors.JOB_NOT_ACTIVE({ id, status: job.status })
    const isHeld = job.owner !== null
    const message = isHeld ? 'The job is being cancelled.' : 'The job was cancelled.'
    return {
      status: isHeld ? 'cancelling' : 'cancelled',
      isCancelRequested: true,
      state: { ...job.state, message, ended_at: isHeld ? null : nowMicros() },
    }
  })
  if (!job) throw errors.JOB_NOT_FOUND({ id, version: kind })
  ctx.runner.cancel(id)
  return job
}

/** Deletes a job with all that it recorded; one that runs is cancelled first. Throws JOB_ACTIVE when it does not stop. */
export async function deleteJob(ctx: ControlContext, kind: JobKind, id: string): Promise<Job> {
  let job = await findJob(ctx.jobs, kind, id)
  if (!FINAL.includes(job.status)) job = await cancelJob(ctx, kind, id)
  for (const end = Date.now() + STOP_MS; !(await ctx.jobs.delete(id, FINAL)); await sleep(50)) {
    const now = await ctx.jobs.get(id)
    if (!now) break
    if (Date.now() > end) throw errors.JOB_ACTIVE({ id, status: now.status })
  }
  await ctx.db.query('DELETE FROM evaluator.job_secrets WHERE job = $1', [id])
  await ctx.runner.forget(id)
  return job
}
