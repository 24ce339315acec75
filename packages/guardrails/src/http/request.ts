// SPDX-License-Identifier: Apache-2.0
import type { GenerationOptions, GuardrailsRequest } from '@open-nemo/contract/guardrails/schemas.ts'
import type { ConfigCatalogue } from '../configs/catalogue.ts'
import type { CompiledConfig } from '../engine/compiled.ts'

/** Fields of a request that are the guardrails' own; everything else is the main model's. */
const OWN = new Set([
  'model',
  'messages',
  'prompt',
  'guardrails',
  'config_id',
  'config_ids',
  'stream',
  'vision',
])

/** What all guarded operations share of a request. */
export interface GuardedBody {
  model?: string | null | undefined
  guardrails?: GuardrailsRequest | null | undefined
  config_id?: string | null | undefined
  config_ids?: string[] | null | undefined
  stream?: boolean | null | undefined
  [field: string]: unknown
}

/** The configuration of a request and the ids it goes by. */
export interface RequestConfig {
  config: CompiledConfig
  ids: string[]
}

/** Finds the configuration: inline, by ids (combined in their order), by id, or the default one. */
export async function requestConfig(
  body: GuardedBody,
  configs: ConfigCatalogue,
  defaultId: string,
): Promise<RequestConfig> {
  const given = body.guardrails ?? {}
  if (given.config && typeof given.config !== 'string')
    return { config: await configs.inline(given.config), ids: [] }
  const ids = idsOf(body, given, defaultId)
  return { config: await configs.compiledOf(ids), ids }
}

function idsOf(body: GuardedBody, given: GuardrailsRequest, defaultId: string): string[] {
  const many = given.config_ids?.length ? given.config_ids : body.config_ids
  if (many?.length) return many
  const one = given.config_id || (typeof given.config === 'string' ? given.config : '') || body.config_id
  return [one || defaultId]
}

/** Sampling parameters and whatever else goes to the main model as it came. */
export function modelParameters(body: GuardedBody): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(body).filter(([key, value]) => !OWN.has(key) && value !== null && value !== undefined),
  )
}

export const isStreamed = (body: GuardedBody) => body.stream ?? body.guardrails?.stream ?? false

export const optionsOf = (body: GuardedBody): GenerationOptions | undefined =>
  body.guardrails?.options ?? undefined
