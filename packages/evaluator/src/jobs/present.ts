// SPDX-License-Identifier: Apache-2.0
import type { JobStatus, StatusDetails } from '@open-nemo/contract/evaluation/schemas.ts'
import { expandConfig, expandTarget } from './expand.ts'
import type { Job, JobState } from './types.ts'

/** A v1 job as answered: target and config inlined, every field present. */
export function presentJob(job: Job): Record<string, unknown> {
  const { payload, state } = job
  return {
    created_at: job.createdAt,
    updated_at: job.updatedAt,
    id: job.id,
    namespace: payload.namespace,
    description: payload.kept.description,
    target: expandTarget(payload.target),
    config: expandConfig(payload.config),
    result: state.result,
    output_files_url: payload.output_files_url,
    status_details: presentDetails(state, job.status),
    status: job.status as JobStatus,
    project: payload.kept.project,
    custom_fields: payload.kept.custom_fields,
    ownership: payload.kept.ownership ?? null,
  }
}

/** The details of a status: nothing but nulls before the job runs, as the recorded server has them. */
export function presentDetails(state: JobState, status: string): StatusDetails {
  const base = { message: state.message, task_status: state.task_status, progress: progressOf(state, status) }
  if (state.started_at === null) return base
  return { ...base, samples_processed: state.processed }
}

function progressOf(state: JobState, status: string): number | null {
  if (status === 'completed') return 100
  if (state.started_at === null || state.total === null) return null
  if (state.total === 0) return 0
  return Math.min(100, Math.round((state.processed / state.total) * 10_000) / 100)
}
