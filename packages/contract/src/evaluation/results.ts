// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { customFields, ownership } from '../common.ts'
import { entityName } from '../names.ts'
import { JOB_STATUSES, statusDetails } from './schemas.ts'

const number = z.number().nullish()

/** Of the samples' values; `nan_count` of them could not be told and are in no other field. Variance is the population's. */
export const scoreStats = z.looseObject({
  count: z.int().nullish(),
  sum: number,
  sum_squared: number,
  min: number,
  max: number,
  mean: number,
  variance: number,
  stddev: number,
  stderr: number,
  nan_count: z.int().nullish(),
})
export type ScoreStats = z.infer<typeof scoreStats>

/** `value` is null when no sample had a value. */
export const score = z.looseObject({ value: z.number().nullable(), stats: scoreStats.nullish() })
export type Score = z.infer<typeof score>
export const metricResult = z.looseObject({ scores: z.record(z.string(), score).nullish() })
export type MetricResult = z.infer<typeof metricResult>
export const taskResult = z.looseObject({
  metrics: z.record(z.string(), metricResult).nullish(),
  data: z.record(z.string(), z.unknown()).nullish(),
})
export type TaskResult = z.infer<typeof taskResult>
export const groupResult = z.looseObject({
  metrics: z.record(z.string(), metricResult).nullish(),
  groups: z.record(z.string(), z.unknown()).nullish(),
})
export type GroupResult = z.infer<typeof groupResult>

const outcome = {
  tasks: z.record(z.string(), taskResult).nullish(),
  groups: z.record(z.string(), groupResult).nullish(),
}
const common = {
  description: z.string().max(65_536).nullish(),
  project: z.string().max(65_536).nullish(),
  custom_fields: customFields.nullish(),
  ownership: ownership.nullish(),
  namespace: z.union([z.literal(''), entityName]).nullish(),
  files_url: z.string().max(4096).nullish(),
}
export const resultCreate = z.looseObject({ ...common, job: z.string().min(1).max(1024), ...outcome })
export const resultUpdate = z.looseObject({ ...common, job: z.string().max(1024).nullish(), ...outcome })

export const evaluationResult = z.looseObject({
  job: z.string(),
  id: z.string(),
  created_at: z.string(),
  updated_at: z.string(),
  namespace: z.string(),
  custom_fields: customFields,
  tasks: z.record(z.string(), taskResult),
  groups: z.record(z.string(), groupResult),
})
export type EvaluationResult = z.infer<typeof evaluationResult>

export const liveEvaluation = z.looseObject({
  status: z.enum(JOB_STATUSES),
  status_details: statusDetails,
  result: evaluationResult.nullable(),
  logs: z.record(z.string(), z.unknown()).nullish(),
})
