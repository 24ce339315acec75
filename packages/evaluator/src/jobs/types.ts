// SPDX-License-Identifier: Apache-2.0
import type { TaskStatus } from '@open-nemo/contract/evaluation/schemas.ts'
import type { Carrier } from '@open-nemo/runtime'
import type { JobStore, StoredJob } from '@open-nemo/runtime/jobs/index.ts'
import type { Entity } from '../entities/store.ts'

/** What was asked. Secrets are masked; they are in a table of their own until the job ends. */
export interface JobPayload {
  namespace: string
  name: string | null
  /** Fields that are kept and given back as sent. */
  kept: {
    description: string | null
    project: string | null
    custom_fields: Record<string, unknown>
    ownership: unknown
  }
  target: Entity
  config: Entity
  /** The spec of a v2 job as sent, masked: a reference stays one. */
  spec: { target: unknown; config: unknown } | null
  output_files_url: string | null
  /** Trace of the request that made it; absent while traces are off. */
  trace?: Carrier
}

/** What has come of a job so far. */
export interface JobState {
  message: string | null
  task_status: Record<string, TaskStatus>
  /** Samples there are to evaluate, or null while that is not known. */
  total: number | null
  processed: number
  failed: number
  retries: number
  /** Id of the result. */
  result: string | null
  error: string | null
  started_at: string | null
  ended_at: string | null
}

export type Job = StoredJob<JobPayload, JobState>
export type JobTable = JobStore<JobPayload, JobState>

/** Which API a job was made by. */
export type JobKind = 'v1' | 'v2'

export const ACTIVE = ['created', 'running', 'cancelling']
export const FINAL = ['completed', 'failed', 'cancelled']

export function initialState(): JobState {
  return {
    message: null,
    task_status: {},
    total: null,
    processed: 0,
    failed: 0,
    retries: 0,
    result: null,
    error: null,
    started_at: null,
    ended_at: null,
  }
}
