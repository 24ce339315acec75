// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { customFields } from '../common.ts'
import { entityName, entityPathName } from '../names.ts'
import { configSpec, targetSpec } from './schemas.ts'

const text = z.string().max(65_536)
const reference = z.string().min(1).max(1024)

export const PLATFORM_JOB_STATUSES = [
  'created',
  'pending',
  'active',
  'cancelled',
  'cancelling',
  'error',
  'completed',
  'paused',
  'pausing',
  'resuming',
] as const
export type PlatformJobStatus = (typeof PLATFORM_JOB_STATUSES)[number]

export const jobCreateV2 = z.looseObject({
  spec: z.looseObject({
    target: z.union([reference, targetSpec]),
    config: z.union([reference, configSpec]),
  }),
  name: z.union([z.literal(''), entityPathName]).nullish(),
  namespace: z.union([z.literal(''), entityName]).nullish(),
  description: text.nullish(),
  project: text.nullish(),
  custom_fields: customFields.nullish(),
  ownership: z.record(z.string(), z.unknown()).nullish(),
})
export type JobCreateV2 = z.infer<typeof jobCreateV2>

const details = z.record(z.string(), z.unknown())
const status = z.enum(PLATFORM_JOB_STATUSES)

export const jobV2 = z.looseObject({
  id: z.string(),
  name: z.string(),
  namespace: z.string(),
  description: z.string().nullable(),
  project: z.string().nullable(),
  created_at: z.string(),
  updated_at: z.string(),
  custom_fields: customFields,
  ownership: details.nullable(),
  spec: z.looseObject({ target: z.unknown(), config: z.unknown() }),
  status,
  status_details: details,
  error_details: details.nullable(),
})

export const jobStatusV2 = z.object({
  job_id: z.string(),
  status,
  status_details: details,
  error_details: details,
  steps: z.array(
    z.object({
      name: z.string(),
      status,
      status_details: details,
      error_details: details,
      tasks: z.array(
        z.object({
          id: z.string(),
          status,
          status_details: details,
          error_details: details,
          error_stack: z.string(),
        }),
      ),
    }),
  ),
})

export const logsV2 = z.object({
  object: z.literal('list'),
  data: z.array(
    z.object({
      job_id: z.string(),
      job_step: z.string(),
      job_task: z.string(),
      message: z.string(),
      timestamp: z.string(),
    }),
  ),
  next_page: z.string(),
  prev_page: z.string(),
  total: z.int(),
})

export const jobResultV2 = z.object({
  job_id: z.string(),
  result_name: z.string(),
  namespace: z.string(),
  project: z.string().nullable(),
  artifact_url: z.string(),
  artifact_storage_type: z.literal('nds'),
  created_at: z.string(),
  updated_at: z.string(),
})
export const jobResultsV2 = z.object({ object: z.literal('list'), data: z.array(jobResultV2) })
