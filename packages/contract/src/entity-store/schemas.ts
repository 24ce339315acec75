// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { customFields } from '../common.ts'
import { entityName, entityPathName } from '../names.ts'
import { serverUrl } from '../urls.ts'

/** Carries the platform's own token, with which services read api keys in clear. Never sent by users. */
export const INTERNAL_TOKEN_HEADER = 'x-nemo-internal-token'

export const ENTITY_KINDS = ['namespace', 'project', 'dataset', 'model'] as const
export type EntityKind = (typeof ENTITY_KINDS)[number]

const text = z.string().max(65_536)

/** Who owns an entity; kept and given back as sent. */
export const entityOwnership = z.looseObject({
  created_by: text.nullish(),
  updated_by: text.nullish(),
  access_policies: z.record(z.string(), z.unknown()).nullish(),
})

export const apiEndpoint = z.looseObject({
  url: serverUrl.max(2048),
  model_id: z.string().min(1).max(1024),
  api_key: z.string().max(8192).nullish(),
  format: z.enum(['nim', 'openai', 'lama_stack', 'llama_stack']).nullish(),
})
export type ApiEndpointData = z.infer<typeof apiEndpoint>

export const modelArtifact = z.looseObject({
  files_url: z.string().min(1).max(2048),
  status: z.enum(['created', 'upload_failed', 'upload_completed']),
  backend_engine: z.enum(['nemo', 'trt_llm', 'vllm', 'faster_transformer', 'hugging_face']).nullish(),
  gpu_arch: text.nullish(),
  precision: z.enum(['int8', 'bf16', 'fp16', 'fp32', 'fp8-mixed', 'bf16-mixed']).nullish(),
  tensor_parallelism: z.int().min(0).nullish(),
})
export type ModelArtifactData = z.infer<typeof modelArtifact>

/** What is true of the weights; `num_parameters` counts single parameters, `context_size` tokens. */
export const modelSpec = z.looseObject({
  num_parameters: z.int().min(0),
  context_size: z.int().min(0),
  num_virtual_tokens: z.int().min(0).default(0),
  is_chat: z.boolean(),
})
export type ModelSpecData = z.infer<typeof modelSpec>

export const peftData = z.looseObject({
  finetuning_type: z.enum(['lora', 'lora_merged', 'all_weights', 'p_tuning']),
  lora: z.looseObject({}).nullish(),
  p_tuning: z.looseObject({}).nullish(),
})
export type PeftData = z.infer<typeof peftData>

export const promptData = z.looseObject({
  icl_few_shot_examples: text.nullish(),
  inference_params: z.looseObject({}).nullish(),
  reasoning_params: z.looseObject({}).nullish(),
  system_prompt: text.nullish(),
  system_prompt_template: text.nullish(),
})

const common = {
  description: text.nullish(),
  project: text.nullish(),
  custom_fields: customFields.nullish(),
  ownership: entityOwnership.nullish(),
  schema_version: z.string().max(255).nullish(),
}
const named = {
  // An empty name or namespace counts as not given, as in the SDK's own defaults.
  name: z.union([z.literal(''), entityPathName]).nullish(),
  namespace: z.union([z.literal(''), entityName]).nullish(),
}
const datasetFields = {
  format: text.nullish(),
  split: text.nullish(),
  limit: z.int().min(0).nullish(),
  hf_endpoint: z.string().max(2048).nullish(),
}
const modelFields = {
  api_endpoint: apiEndpoint.nullish(),
  artifact: modelArtifact.nullish(),
  base_model: z.union([z.string().max(1024), z.record(z.string(), z.unknown())]).nullish(),
  guardrails: z.looseObject({}).nullish(),
  model_providers: z.array(z.string().max(1024)).max(1000).nullish(),
  peft: peftData.nullish(),
  prompt: promptData.nullish(),
  spec: modelSpec.nullish(),
}

/** Bodies of POST. Fields that are not named here are kept and given back, as search on them shows they are. */
export const namespaceCreate = z.looseObject({
  ...common,
  id: z.union([z.literal(''), entityName]).nullish(),
})
export const projectCreate = z.looseObject({ ...common, ...named })
export const datasetCreate = z.looseObject({
  ...common,
  ...named,
  ...datasetFields,
  files_url: z.string().min(1).max(2048),
})
export const modelCreate = z.looseObject({ ...common, ...named, ...modelFields })

/** Bodies of PATCH: a field that is absent, null or empty keeps its old value; others are replaced whole. */
const unnamed = { id: text.nullish(), name: text.nullish(), namespace: text.nullish() }
export const namespaceUpdate = z.looseObject({ ...common, ...unnamed })
export const projectUpdate = z.looseObject({ ...common, ...unnamed })
export const datasetUpdate = z.looseObject({
  ...common,
  ...unnamed,
  ...datasetFields,
  files_url: z.string().max(2048).nullish(),
})
export const modelUpdate = z.looseObject({ ...common, ...unnamed, ...modelFields })

const stamps = { created_at: z.string(), updated_at: z.string() }
const stored = {
  id: z.string(),
  ...stamps,
  description: z.string().nullable(),
  project: z.string().nullable(),
  custom_fields: customFields,
}
export const namespaceEntity = z.looseObject({ ...stored, ownership: entityOwnership.nullable() })
export const projectEntity = z.looseObject({ ...stored, name: z.string(), namespace: z.string() })
export const datasetEntity = z.looseObject({
  ...stored,
  name: z.string(),
  namespace: z.string(),
  files_url: z.string(),
  format: z.string().nullable(),
  split: z.string().nullable(),
  limit: z.int().nullable(),
  hf_endpoint: z.string().nullable(),
})
export const modelEntity = z.looseObject({
  ...stored,
  name: z.string(),
  namespace: z.string(),
  schema_version: z.string(),
  api_endpoint: apiEndpoint.nullable(),
  artifact: modelArtifact.nullable(),
  base_model: z.union([z.string(), z.record(z.string(), z.unknown())]).nullable(),
  guardrails: z.looseObject({}).nullable(),
  model_providers: z.array(z.string()).nullable(),
  peft: peftData.nullable(),
  prompt: promptData.nullable(),
  spec: modelSpec.nullable(),
  ownership: entityOwnership.nullable(),
})

export type NamespaceCreate = z.input<typeof namespaceCreate>
export type ProjectCreate = z.input<typeof projectCreate>
export type DatasetCreate = z.input<typeof datasetCreate>
export type ModelCreate = z.input<typeof modelCreate>
export type NamespaceUpdate = z.input<typeof namespaceUpdate>
export type ProjectUpdate = z.input<typeof projectUpdate>
export type DatasetUpdate = z.input<typeof datasetUpdate>
export type ModelUpdate = z.input<typeof modelUpdate>
export type Namespace = z.infer<typeof namespaceEntity>
export type Project = z.infer<typeof projectEntity>
export type Dataset = z.infer<typeof datasetEntity>
export type Model = z.infer<typeof modelEntity>
