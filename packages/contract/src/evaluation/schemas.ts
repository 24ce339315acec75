// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { customFields, ownership } from '../common.ts'
import { entityName, entityPathName } from '../names.ts'

export const TARGET_TYPES = ['model', 'cached_outputs', 'retriever', 'rag', 'rows', 'dataset'] as const
export type TargetType = (typeof TARGET_TYPES)[number]

const text = z.string().max(65_536)
const url = z.string().min(1).max(4096)
const common = {
  description: text.nullish(),
  project: text.nullish(),
  custom_fields: customFields.nullish(),
  ownership: ownership.nullish(),
}
const named = {
  // An empty name or namespace counts as not given, as in the SDK's own defaults.
  name: z.union([z.literal(''), entityPathName]).nullish(),
  namespace: z.union([z.literal(''), entityName]).nullish(),
}

/** A model's endpoint: a base URL (`…/v1`) or the full URL of one operation (`…/v1/chat/completions`). */
export const evaluationEndpoint = z.looseObject({
  url: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).max(4096),
  model_id: z.string().min(1).max(1024),
  api_key: z.string().max(8192).nullish(),
  format: z.enum(['nim', 'openai', 'lama_stack', 'llama_stack']).nullish(),
})
export type EvaluationEndpoint = z.infer<typeof evaluationEndpoint>

/** A model written out, or the name `namespace/name` of a model entity or of a served model. */
export const evaluationModel = z.union([
  z.string().min(1).max(1024),
  z.looseObject({ api_endpoint: evaluationEndpoint.nullish(), name: z.string().max(1024).nullish() }),
])
export type EvaluationModel = z.infer<typeof evaluationModel>

export const evaluationDataset = z.union([
  url,
  z.looseObject({
    files_url: url,
    format: text.nullish(),
    hf_endpoint: z.string().max(4096).nullish(),
    limit: z.int().min(0).nullish(),
    split: text.nullish(),
  }),
])
export type EvaluationDataset = z.infer<typeof evaluationDataset>

export const cachedOutputs = z.looseObject({ files_url: url })

export const retrieverPipeline = z.looseObject({
  query_embedding_model: evaluationModel,
  index_embedding_model: evaluationModel,
  reranker_model: evaluationModel.nullish(),
  top_k: z.int().min(1).max(10_000).nullish(),
})
export type RetrieverPipeline = z.infer<typeof retrieverPipeline>

export const retrieverTarget = z.looseObject({
  pipeline: retrieverPipeline.nullish(),
  cached_outputs: cachedOutputs.nullish(),
  dataset: evaluationDataset.nullish(),
})
export type RetrieverTarget = z.infer<typeof retrieverTarget>

export const ragTarget = z.looseObject({
  pipeline: z
    .looseObject({
      retriever: retrieverTarget,
      model: evaluationModel,
      context_ordering: z.string().max(64).nullish(),
    })
    .nullish(),
  cached_outputs: cachedOutputs.nullish(),
  dataset: evaluationDataset.nullish(),
})
export type RagTarget = z.infer<typeof ragTarget>

const targetFields = {
  cached_outputs: cachedOutputs.nullish(),
  dataset: evaluationDataset.nullish(),
  model: evaluationModel.nullish(),
  rag: ragTarget.nullish(),
  retriever: retrieverTarget.nullish(),
  rows: z.array(z.record(z.string(), z.unknown())).max(1_000_000).nullish(),
}

/** The fields of a target that say what is evaluated. */
export const targetSpec = z.looseObject({ type: z.enum(TARGET_TYPES), ...targetFields })
export type TargetSpec = z.infer<typeof targetSpec>
export const targetCreate = z.looseObject({
  ...common,
  ...named,
  type: z.enum(TARGET_TYPES),
  ...targetFields,
})
export const targetUpdate = z.looseObject({
  ...common,
  type: z.enum(TARGET_TYPES).nullish(),
  ...targetFields,
})

const count = z.int().min(0).nullish()
/** Global parameters of an evaluation. */
export const evaluationParams = z.looseObject({
  extra: z.record(z.string(), z.unknown()).nullish(),
  limit_samples: count,
  max_retries: count,
  max_tokens: z.int().min(1).nullish(),
  parallelism: z.int().min(1).nullish(),
  request_timeout: z.number().positive().nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(16)]).nullish(),
  temperature: z.number().min(0).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
})
export type EvaluationParams = z.infer<typeof evaluationParams>

export const metricConfig = z.looseObject({
  type: z.string().min(1).max(255),
  params: z.record(z.string(), z.unknown()).nullish(),
})
export type MetricConfig = z.infer<typeof metricConfig>

export const taskConfig = z.looseObject({
  type: z.string().min(1).max(255),
  dataset: evaluationDataset.nullish(),
  metrics: z.record(z.string(), metricConfig).nullish(),
  params: z.record(z.string(), z.unknown()).nullish(),
})
export type TaskConfig = z.infer<typeof taskConfig>

export const groupConfig = z.looseObject({
  groups: z.record(z.string(), z.unknown()).nullish(),
  metrics: z.record(z.string(), metricConfig).nullish(),
  tasks: z.array(z.string()).nullish(),
})

const configFields = {
  groups: z.record(z.string(), groupConfig).nullish(),
  params: evaluationParams.nullish(),
  tasks: z.record(z.string(), taskConfig).nullish(),
}
/** The fields of a config that say how it is evaluated. */
export const configSpec = z.looseObject({ type: z.string().min(1).max(255), ...configFields })
export type ConfigSpec = z.infer<typeof configSpec>
export const configCreate = z.looseObject({
  ...common,
  ...named,
  type: z.string().min(1).max(255),
  ...configFields,
})
export const configUpdate = z.looseObject({
  ...common,
  type: z.string().min(1).max(255).nullish(),
  ...configFields,
})

const reference = z.string().min(1).max(1024)
/** A stored target or config, named by an object. */
const namedReference = z.strictObject({ name: z.string().min(1).max(255), namespace: named.namespace })
export const jobCreate = z.looseObject({
  ...common,
  namespace: named.namespace,
  target: z.union([reference, targetCreate, namedReference]),
  config: z.union([reference, configCreate, namedReference]),
  output_files_url: z.string().max(4096).nullish(),
})
export type JobCreate = z.infer<typeof jobCreate>

export const liveCreate = z.looseObject({
  ...common,
  namespace: named.namespace,
  target: z.union([reference, targetCreate, namedReference]),
  config: z.union([reference, configCreate, namedReference]),
})
export type LiveCreate = z.infer<typeof liveCreate>

const stamps = { created_at: z.string(), updated_at: z.string() }
const stored = {
  id: z.string(),
  name: z.string(),
  namespace: z.string(),
  custom_fields: customFields,
  ...stamps,
}
export const targetEntity = z.looseObject({ ...stored, type: z.enum(TARGET_TYPES) })
export const configEntity = z.looseObject({ ...stored, type: z.string() })

export const JOB_STATUSES = [
  'created',
  'pending',
  'running',
  'cancelling',
  'cancelled',
  'failed',
  'completed',
] as const
export type JobStatus = (typeof JOB_STATUSES)[number]

export const TASK_STATUSES = ['pending', 'running', 'completed', 'failed'] as const
export type TaskStatus = (typeof TASK_STATUSES)[number]

export const statusDetails = z.looseObject({
  message: z.string().nullable(),
  task_status: z.record(z.string(), z.enum(TASK_STATUSES)),
  progress: z.number().nullable(),
  samples_processed: z.int().nullish(),
})
export type StatusDetails = z.infer<typeof statusDetails>

export const jobEntity = z.looseObject({
  id: z.string(),
  ...stamps,
  namespace: z.string(),
  description: z.string().nullable(),
  target: z.looseObject({}),
  config: z.looseObject({}),
  result: z.string().nullable(),
  output_files_url: z.string().nullable(),
  status_details: statusDetails,
  status: z.enum(JOB_STATUSES),
  project: z.string().nullable(),
  custom_fields: customFields,
  ownership: ownership.nullable(),
})
export type EvaluationJob = z.infer<typeof jobEntity>
