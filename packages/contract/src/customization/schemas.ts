// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { customFields, ownership } from '../common.ts'
import { entityName, entityPathName } from '../names.ts'
import { FINETUNING_TYPES, hyperparameters, TRAINING_TYPES } from './hyperparameters.ts'

export const JOB_STATUSES = [
  'created',
  'pending',
  'running',
  'cancelling',
  'cancelled',
  'failed',
  'completed',
  'ready',
  'unknown',
] as const
export type JobStatus = (typeof JOB_STATUSES)[number]
export const PRECISIONS = ['int8', 'bf16', 'fp16', 'fp32', 'fp8-mixed', 'bf16-mixed'] as const
export const TARGET_STATUSES = [
  'created',
  'pending',
  'downloading',
  'failed',
  'ready',
  'cancelled',
  'unknown',
  'deleted',
  'deleting',
  'delete_failed',
] as const

const text = z.string().max(65_536)
const common = {
  description: text.nullish(),
  project: text.nullish(),
  custom_fields: customFields.nullish(),
  ownership: ownership.nullish(),
}
// An empty name or namespace counts as not given, as in the SDK's own defaults.
const namespace = z.union([z.literal(''), entityName]).nullish()
const name = z.union([z.literal(''), entityPathName]).nullish()
const parameters = z.int().min(1)
const sequence = z.int().min(16).max(10_000_000)

const targetFields = {
  base_model: z.string().min(1).max(255).nullish(),
  enabled: z.boolean().nullish(),
  hf_endpoint: z.string().max(2048).nullish(),
  model_path: z.string().max(4096).nullish(),
  model_uri: z.string().max(4096).nullish(),
  tokenizer: z.record(z.string(), z.unknown()).nullish(),
}
export const targetCreate = z.looseObject({
  ...common,
  ...targetFields,
  namespace,
  name,
  num_parameters: parameters,
  precision: z.enum(PRECISIONS),
})
/** A field of a PATCH that is absent or null keeps its value. */
export const targetUpdate = z.looseObject({
  ...common,
  ...targetFields,
  num_parameters: parameters.nullish(),
  precision: z.enum(PRECISIONS).nullish(),
})

/** One way of tuning that a config offers. The hardware fields change nothing on one machine without GPUs. */
export const trainingOption = z.looseObject({
  training_type: z.enum(TRAINING_TYPES),
  finetuning_type: z.enum(FINETUNING_TYPES),
  micro_batch_size: z.int().min(1).max(65_536).nullish(),
  num_gpus: z.int().min(0).max(65_536).nullish(),
  num_nodes: z.int().min(1).max(65_536).nullish(),
  tensor_parallel_size: z.int().min(1).nullish(),
  pipeline_parallel_size: z.int().min(1).nullish(),
  data_parallel_size: z.int().min(1).nullish(),
  expert_model_parallel_size: z.int().min(1).nullish(),
  use_sequence_parallel: z.boolean().nullish(),
})
export type TrainingOption = z.infer<typeof trainingOption>

const FIELD = /\{\w+\}/
const promptTemplate = z
  .string()
  .max(65_536)
  .regex(FIELD, 'must name the fields of a row in braces, such as "{prompt} {completion}"')
const configFields = {
  chat_prompt_template: text.nullish(),
  dataset_schemas: z.array(z.record(z.string(), z.unknown())).nullish(),
  pod_spec: z.looseObject({}).nullish(),
  prompt_template: promptTemplate.nullish(),
  training_precision: z.enum(PRECISIONS).nullish(),
}
const options = z.array(trainingOption).min(1).max(100)
const reference = z.string().min(1).max(600)
export const configCreate = z.looseObject({
  ...common,
  ...configFields,
  namespace,
  name,
  max_seq_length: sequence,
  training_options: options,
  target: z.union([reference, targetCreate.partial()]).nullish(),
})
export const optionRemoval = z.looseObject({
  training_type: z.enum(TRAINING_TYPES),
  finetuning_type: z.enum(FINETUNING_TYPES),
})
export const configUpdate = z.looseObject({
  ...common,
  ...configFields,
  max_seq_length: sequence.nullish(),
  training_options: options.nullish(),
  add_training_options: z.array(trainingOption).max(100).nullish(),
  remove_training_options: z.array(optionRemoval).max(100).nullish(),
})

/** A dataset of a job: the reference `ns/name`, an `hf://datasets/…` URL, or an object that says the same. */
export const jobDataset = z.union([
  reference,
  z.looseObject({
    namespace,
    name,
    files_url: z.string().max(2048).nullish(),
    hf_endpoint: z.string().max(2048).nullish(),
    /** Most rows to train on; the first ones are taken. */
    limit: z.int().min(0).nullish(),
  }),
])
/** How the rows are used: tools for chats, and the documents that embedding models tell apart. */
export const datasetParameters = z.looseObject({
  tools: z.array(z.looseObject({})).max(1000).nullish(),
  in_batch_negatives: z.boolean().nullish(),
  num_hard_negatives: z.int().min(0).max(1000).nullish(),
  negative_sample_strategy: z.enum(['first', 'random']).nullish(),
})
export type DatasetParameters = z.infer<typeof datasetParameters>

export const jobCreate = z.looseObject({
  ...common,
  namespace,
  name,
  config: z.union([reference, configCreate.partial()]),
  dataset: jobDataset,
  hyperparameters,
  dataset_parameters: datasetParameters.nullish(),
  integrations: z.array(z.looseObject({})).max(100).nullish(),
  output_model: z.string().max(600).nullish(),
})

const entity = {
  id: z.string(),
  created_at: z.string(),
  updated_at: z.string(),
  namespace: z.string(),
  name: z.string(),
  description: z.string().nullish(),
  project: z.string().nullish(),
  custom_fields: customFields,
  ownership: ownership.nullish(),
}
export const targetEntity = z.looseObject({
  ...entity,
  base_model: z.string(),
  enabled: z.boolean(),
  num_parameters: z.int(),
  precision: z.enum(PRECISIONS),
  model_path: z.string(),
  status: z.enum(TARGET_STATUSES),
})
export const configEntity = z.looseObject({
  ...entity,
  max_seq_length: z.int(),
  training_options: z.array(trainingOption),
  prompt_template: z.string().nullish(),
  target: z.union([z.string(), targetEntity]).nullish(),
})
export const metricValue = z.object({ step: z.int(), timestamp: z.string(), value: z.number() })
export const statusLog = z.object({
  updated_at: z.string(),
  message: z.string(),
  detail: z.string().nullish(),
})
export const statusDetails = z.looseObject({
  created_at: z.string(),
  updated_at: z.string(),
  elapsed_time: z.number(),
  steps_completed: z.int(),
  epochs_completed: z.int(),
  percentage_done: z.number(),
  status_logs: z.array(statusLog),
  steps_per_epoch: z.int().nullish(),
  best_epoch: z.int().nullish(),
  train_loss: z.number().nullish(),
  val_loss: z.number().nullish(),
  metrics: z
    .object({
      keys: z.array(z.string()),
      metrics: z.record(z.string(), z.array(metricValue)),
    })
    .nullish(),
})
/** The answer of GET …/status: the details with the status, flat. */
export const flatStatus = z.looseObject({ ...statusDetails.shape, status: z.enum(JOB_STATUSES) })
export const jobWarning = z.object({ message: z.string(), explanation: z.string().nullish() })
export const jobEntity = z.looseObject({
  id: z.string(),
  created_at: z.string(),
  updated_at: z.string(),
  namespace: z.string(),
  name: z.string().nullish(),
  config: z.string(),
  config_snapshot: z.looseObject({}),
  dataset: z.string(),
  hyperparameters: z.looseObject({}),
  output_model: z.string().nullish(),
  status: z.enum(JOB_STATUSES),
  status_details: statusDetails,
  warnings: z.array(jobWarning).nullish(),
})
export const jobLogs = z.object({
  entries: z.record(
    z.string(),
    z.object({
      object: z.string(),
      events: z.array(z.looseObject({ message: z.string() })),
      logs: z.record(z.string(), z.unknown()),
      status: z.record(z.string(), z.unknown()),
    }),
  ),
  error: z.looseObject({}).nullish(),
})

export type TargetCreate = z.infer<typeof targetCreate>
export type TargetUpdate = z.infer<typeof targetUpdate>
export type ConfigCreate = z.infer<typeof configCreate>
export type ConfigUpdate = z.infer<typeof configUpdate>
export type JobCreate = z.infer<typeof jobCreate>
export type JobDataset = z.infer<typeof jobDataset>
export type Target = z.infer<typeof targetEntity>
export type Config = z.infer<typeof configEntity>
export type Job = z.infer<typeof jobEntity>
export type JobLogs = z.infer<typeof jobLogs>
export type JobWarning = z.infer<typeof jobWarning>
export type StatusDetails = z.infer<typeof statusDetails>
export type FlatStatus = z.infer<typeof flatStatus>
export type StatusLog = z.infer<typeof statusLog>
export type MetricValue = z.infer<typeof metricValue>
