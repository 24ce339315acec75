// SPDX-License-Identifier: Apache-2.0
import type { PlatformJobStatus } from '@open-nemo/contract/evaluation/v2.ts'
import { presentDetails } from '../jobs/present.ts'
import type { Job } from '../jobs/types.ts'

const STATUS: Record<string, PlatformJobStatus> = { running: 'active', failed: 'error' }
const TASK_STATUS: Record<string, PlatformJobStatus> = {
  running: 'active',
  failed: 'error',
  pending: 'pending',
  completed: 'completed',
}
const STEP = 'evaluation'

/** A job's status in the words of the platform's jobs. */
export function statusV2(job: Job): PlatformJobStatus {
  return STATUS[job.status] ?? (job.status as PlatformJobStatus)
}

/** A v2 job as answered: the document of a platform job around the spec as it was sent. */
export function presentJobV2(job: Job): Record<string, unknown> {
  const { payload } = job
  return {
    id: job.id,
    name: payload.name ?? job.id,
    namespace: payload.namespace,
    description: payload.kept.description,
    project: payload.kept.project,
    created_at: job.createdAt,
    updated_at: job.updatedAt,
    custom_fields: payload.kept.custom_fields,
    ownership: payload.kept.ownership ?? null,
    spec: payload.spec,
    status: statusV2(job),
    status_details: presentDetails(job.state, job.status),
    error_details: errorOf(job),
  }
}

/** Status of the job, of its one step, and of the evaluation's tasks in it. */
export function presentStatusV2(job: Job): Record<string, unknown> {
  const details = presentDetails(job.state, job.status)
  const error = errorOf(job) ?? {}
  const status = statusV2(job)
  return {
    job_id: job.id,
    status,
    status_details: details,
    error_details: error,
    steps: [
      {
        name: STEP,
        status,
        status_details: details,
        error_details: error,
        tasks: Object.entries(job.state.task_status).map(([name, state]) => ({
          id: name,
          status: TASK_STATUS[state] ?? 'pending',
          status_details: {},
          error_details: state === 'failed' ? error : {},
          error_stack: '',
        })),
      },
    ],
  }
}

/** A log line in the shape of the platform's jobs. */
export function presentLog(job: Job, line: { at: string; task: string; message: string }) {
  return { job_id: job.id, job_step: STEP, job_task: line.task, message: line.message, timestamp: line.at }
}

function errorOf(job: Job): Record<string, unknown> | null {
  return job.state.error === null ? null : { message: job.state.error }
}
