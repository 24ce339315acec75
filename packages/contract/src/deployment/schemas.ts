// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { customFields, ownership } from '../common.ts'
import { entityName, entityPathName } from '../names.ts'
import { serverUrl } from '../urls.ts'

const text = z.string().max(4096)

/** A container of the real platform; kept and given back, and not run on one machine. */
export const nimDeployment = z.looseObject({
  gpu: z.int().min(0),
  image_name: z.string().min(1).max(1024),
  image_tag: z.string().min(1).max(256),
  additional_envs: z.record(z.string(), z.string()).nullish(),
  disable_lora_support: z.boolean().nullish(),
  namespace: z.string().max(255).nullish(),
  pvc_size: z.string().max(64).nullish(),
})

/** An OpenAI-compatible server; all its models, or those that are enabled, answer here under their own names. */
export const externalEndpoint = z.looseObject({
  host_url: serverUrl,
  api_key: z.string().max(4096).nullish(),
  enabled_models: z.array(z.string().min(1).max(1024)).max(1000).nullish(),
})
export type ExternalEndpoint = z.infer<typeof externalEndpoint>

const modelReference = z.union([
  z.string().min(1).max(1024),
  z.looseObject({ name: z.string().max(255).nullish(), namespace: z.string().max(255).nullish() }),
])

const shared = {
  description: text.nullish(),
  project: z.string().max(255).nullish(),
  custom_fields: customFields.nullish(),
  ownership: ownership.nullish(),
}
const named = { name: entityPathName.nullish(), namespace: entityName.nullish() }
const configFields = {
  ...shared,
  model: modelReference.nullish(),
  nim_deployment: nimDeployment.nullish(),
  external_endpoint: externalEndpoint.nullish(),
}

export const deploymentConfigCreate = z.looseObject({ ...configFields, ...named })
export type DeploymentConfigCreate = z.infer<typeof deploymentConfigCreate>
export const deploymentConfigUpdate = z.looseObject(configFields)
export const deploymentConfig = z.looseObject({ ...configFields, ...named, created_at: z.string() })

const deploymentFields = {
  ...shared,
  models: z.array(z.string().min(1).max(1024)).max(1000).nullish(),
  async_enabled: z.boolean().nullish(),
  /** Taken and forgotten: nothing here downloads from the hub for a deployment. */
  hf_token: z.string().max(4096).nullish(),
}
const config = z.union([z.string().min(1).max(1024), deploymentConfigCreate])
export const modelDeploymentCreate = z.looseObject({ ...deploymentFields, ...named, config })
export const modelDeploymentUpdate = z.looseObject({ ...deploymentFields, config: config.nullish() })

export const deploymentStatus = z.object({
  status: z.enum(['pending', 'ready', 'failed']),
  description: z.string(),
})
export type DeploymentStatus = z.infer<typeof deploymentStatus>

export const modelDeployment = z.looseObject({
  ...shared,
  ...named,
  config,
  async_enabled: z.boolean(),
  deployed: z.boolean(),
  url: z.string(),
  status_details: deploymentStatus,
  created_at: z.string(),
})
