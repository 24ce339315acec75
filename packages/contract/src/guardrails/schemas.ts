// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'
import { customFields, ownership } from '../common.ts'
import { chatMessage } from '../inference/schemas.ts'
import { entityName } from '../names.ts'
import { configData } from './config-data.ts'

const text = z.string().max(65_536)
const files = z.string().max(2048)

/** Body of a creation: the configuration itself (`data`) or where its files are (`files_url`). */
export const configCreate = z.looseObject({
  name: z.union([z.literal(''), entityName]).nullish(),
  namespace: z.union([z.literal(''), entityName]).nullish(),
  description: text.nullish(),
  project: text.nullish(),
  data: configData.nullish(),
  files_url: files.nullish(),
  custom_fields: customFields.nullish(),
  ownership: ownership.nullish(),
})

export const configUpdate = z.looseObject({
  description: text.nullish(),
  project: text.nullish(),
  data: configData.nullish(),
  files_url: files.nullish(),
  custom_fields: customFields.nullish(),
  ownership: ownership.nullish(),
  schema_version: z.string().max(255).nullish(),
})

/** A stored configuration as answers show it. */
export const guardrailConfig = z.looseObject({
  created_at: z.string(),
  updated_at: z.string(),
  name: z.string(),
  namespace: z.string(),
  description: z.string().nullish(),
  project: z.string().nullish(),
  data: z.record(z.string(), z.unknown()).nullish(),
  files_url: z.string().nullish(),
  custom_fields: customFields,
  ownership: ownership.nullish(),
  schema_version: z.string(),
})
export type GuardrailConfig = z.infer<typeof guardrailConfig>

const railsChoice = z.union([z.boolean(), z.array(z.string())], {
  error: 'must be true, false or names of rails',
})

/** What a request asks of its rails: which run, what the log holds, what the main model is sent besides. */
export const generationOptions = z.looseObject({
  rails: z
    .union([
      z.array(z.string()),
      z.looseObject({
        input: railsChoice.nullish(),
        output: railsChoice.nullish(),
        retrieval: railsChoice.nullish(),
        tool_input: railsChoice.nullish(),
        tool_output: railsChoice.nullish(),
        dialog: z.boolean().nullish(),
      }),
    ])
    .nullish(),
  llm_params: z.record(z.string(), z.unknown()).nullish(),
  llm_output: z.boolean().nullish(),
  output_vars: z.union([z.boolean(), z.array(z.string())]).nullish(),
  log: z
    .looseObject({
      activated_rails: z.boolean().nullish(),
      llm_calls: z.boolean().nullish(),
      colang_history: z.boolean().nullish(),
      internal_events: z.boolean().nullish(),
    })
    .nullish(),
})
export type GenerationOptions = z.infer<typeof generationOptions>

/** The `guardrails` object of a request. */
export const guardrailsRequest = z.looseObject({
  config: z.union([z.string(), configData]).nullish(),
  config_id: z.string().max(1024).nullish(),
  config_ids: z.array(z.string().max(1024)).max(20).nullish(),
  context: z.record(z.string(), z.unknown()).nullish(),
  options: generationOptions.nullish(),
  return_choice: z.boolean().nullish(),
  state: z.record(z.string(), z.unknown()).nullish(),
  stream: z.boolean().nullish(),
})
export type GuardrailsRequest = z.infer<typeof guardrailsRequest>

const generation = {
  model: z.string().max(1024).nullish(),
  guardrails: guardrailsRequest.nullish(),
  /** Some clients put these at top level. */
  config_id: z.string().max(1024).nullish(),
  config_ids: z.array(z.string().max(1024)).max(20).nullish(),
  stream: z.boolean().nullish(),
  n: z.int().min(1).max(16).nullish(),
}
export const guardedChatRequest = z.looseObject({
  ...generation,
  messages: z.array(chatMessage).min(1, 'must hold at least one message').max(10_000),
})
export type GuardedChatRequest = z.infer<typeof guardedChatRequest>

export const guardedCompletionRequest = z.looseObject({
  ...generation,
  prompt: z.union([z.string(), z.array(z.string()).length(1)], { error: 'must be one text' }),
})
export type GuardedCompletionRequest = z.infer<typeof guardedCompletionRequest>

const status = z.enum(['blocked', 'success', 'unknown'])
export const guardrailsData = z.looseObject({
  config_ids: z.array(z.string()).nullish(),
  llm_output: z.record(z.string(), z.unknown()).nullish(),
  log: z.record(z.string(), z.unknown()).nullish(),
  output_data: z.record(z.string(), z.unknown()).nullish(),
})
export const checkResponse = z.object({
  status,
  rails_status: z.record(z.string(), z.object({ status })),
  guardrails_data: guardrailsData.nullish(),
})
export const guardedChatResponse = z.looseObject({
  id: z.string(),
  object: z.literal('chat.completion'),
  created: z.int(),
  model: z.string(),
  choices: z.array(z.looseObject({ index: z.int(), message: z.looseObject({ role: z.string() }) })),
  usage: z.looseObject({}),
  guardrails_data: guardrailsData.nullish(),
})
export const guardedCompletionResponse = z.looseObject({
  id: z.string(),
  object: z.literal('text_completion'),
  created: z.int(),
  model: z.string(),
  choices: z.array(z.looseObject({ index: z.int(), text: z.string() })),
  usage: z.looseObject({}),
  guardrails_data: guardrailsData.nullish(),
})
