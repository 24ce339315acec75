// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

const auto = z.literal('auto')
const hyperparameters = z.looseObject({
  n_epochs: z.union([auto, z.int().min(1).max(10_000)]).nullish(),
  batch_size: z.union([auto, z.int().min(1).max(65_536)]).nullish(),
  /** Factor on the platform's learning rate, which suits LoRA. */
  learning_rate_multiplier: z.union([auto, z.number().gt(0).max(10_000)]).nullish(),
})
export type FineTuningHyperparameters = z.infer<typeof hyperparameters>

const fileId = z
  .string()
  .regex(/^file-[A-Za-z0-9]{1,64}$/, 'must be the id of a file, such as POST /v1/files gives')

/** POST /v1/fine_tuning/jobs of the OpenAI API. */
export const fineTuningCreate = z.looseObject({
  /** A base model that can be tuned here. */
  model: z.string().min(1).max(255),
  training_file: fileId,
  validation_file: fileId.nullish(),
  /** Becomes a part of the tuned model's name. */
  suffix: z
    .string()
    .regex(
      /^[A-Za-z0-9_](?:[\w.-]{0,62}[A-Za-z0-9_])?$/,
      'must be 1 to 64 letters, digits and -_., beginning and ending with a letter or digit',
    )
    .nullish(),
  seed: z
    .int()
    .min(0)
    .max(2 ** 31 - 1)
    .nullish(),
  hyperparameters: hyperparameters.nullish(),
  method: z
    .looseObject({
      type: z.string(),
      supervised: z.looseObject({ hyperparameters: hyperparameters.nullish() }).nullish(),
    })
    .nullish(),
  integrations: z.array(z.looseObject({})).max(5).nullish(),
  metadata: z.record(z.string().max(64), z.string().max(512)).nullish(),
})
export type FineTuningCreate = z.infer<typeof fineTuningCreate>

export const FINE_TUNING_STATUSES = [
  'validating_files',
  'queued',
  'running',
  'succeeded',
  'failed',
  'cancelled',
] as const

export const fineTuningJob = z.looseObject({
  id: z.string(),
  object: z.literal('fine_tuning.job'),
  model: z.string(),
  created_at: z.int(),
  finished_at: z.int().nullable(),
  fine_tuned_model: z.string().nullable(),
  status: z.enum(FINE_TUNING_STATUSES),
  training_file: z.string(),
  validation_file: z.string().nullable(),
  hyperparameters: z.looseObject({}),
  error: z.looseObject({}).nullable(),
  /** As they were asked for. */
  integrations: z.array(z.looseObject({})),
})
export type FineTuningJob = z.infer<typeof fineTuningJob>

export const fineTuningEvent = z.looseObject({
  id: z.string(),
  object: z.literal('fine_tuning.job.event'),
  created_at: z.int(),
  level: z.enum(['info', 'warn', 'error']),
  message: z.string(),
  type: z.enum(['message', 'metrics']),
  data: z.looseObject({}),
})
export type FineTuningEvent = z.infer<typeof fineTuningEvent>

const pageOf = <T extends z.ZodType>(item: T) =>
  z.object({ object: z.literal('list'), data: z.array(item), has_more: z.boolean() })
export const fineTuningJobs = pageOf(fineTuningJob)
export const fineTuningEvents = pageOf(fineTuningEvent)
export const fineTuningCheckpoints = z.object({
  object: z.literal('list'),
  data: z.array(z.looseObject({ id: z.string() })),
  has_more: z.boolean(),
  first_id: z.string().nullable(),
  last_id: z.string().nullable(),
})

/** What a job keeps of the request that made it by this API. */
export interface FineTuningOrigin {
  model: string
  training_file: string
  validation_file: string | null
  suffix: string | null
  seed: number
  metadata: Record<string, string> | null
  /** As they were asked for; `auto` where nothing was. */
  hyperparameters: {
    n_epochs: number | 'auto'
    batch_size: number | 'auto'
    learning_rate_multiplier: number | 'auto'
  }
}
