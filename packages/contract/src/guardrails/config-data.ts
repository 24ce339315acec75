// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

const flows = z.array(z.string().min(1).max(1024)).max(100)
const record = z.record(z.string(), z.unknown())
const seconds = z.number().gt(0).max(3600)

/** A model of a configuration: `main` answers, the other types are what rails name by `$model=`. */
export const guardrailModel = z.looseObject({
  type: z.string().min(1).max(255),
  engine: z.string().min(1).max(255),
  model: z.string().max(1024).nullish(),
  mode: z.enum(['chat', 'text']).nullish(),
  api_key_env_var: z.string().max(255).nullish(),
  parameters: record.nullish(),
  reasoning_config: record.nullish(),
  cache: record.nullish(),
})
export type GuardrailModelData = z.infer<typeof guardrailModel>

const promptMessage = z.union([
  z.string().max(1_000_000),
  z.looseObject({ type: z.string().max(64), content: z.string().max(1_000_000) }),
])

/** The prompt of one task, as Jinja text or as chat messages. */
export const taskPrompt = z.looseObject({
  task: z.string().min(1).max(1024),
  content: z.string().max(1_000_000).nullish(),
  messages: z.array(promptMessage).max(100).nullish(),
  models: z.array(z.string()).nullish(),
  output_parser: z.string().max(255).nullish(),
  max_length: z.int().min(1).nullish(),
  max_tokens: z.int().min(1).nullish(),
  mode: z.string().max(255).nullish(),
  stop: z.array(z.string().max(1024)).nullish(),
})
export type TaskPromptData = z.infer<typeof taskPrompt>

const sensitiveOptions = z.looseObject({
  entities: z.array(z.string().max(255)).nullish(),
  mask_token: z.string().max(64).nullish(),
  score_threshold: z.number().min(0).max(1).nullish(),
})
/** A recogniser of the user's own: a name, the entity it finds, and regular expressions with scores. */
export const customRecognizer = z.looseObject({
  name: z.string().max(255).nullish(),
  supported_entity: z.string().min(1).max(255),
  patterns: z
    .array(
      z.looseObject({ name: z.string().nullish(), regex: z.string().max(4096), score: z.number().nullish() }),
    )
    .max(100)
    .nullish(),
  deny_list: z.array(z.string().max(1024)).max(10_000).nullish(),
  context: z.array(z.string()).nullish(),
})
const sensitiveData = z.looseObject({
  recognizers: z.array(customRecognizer).max(100).nullish(),
  /** An endpoint that finds names and places: POST {text, entities} gives [{start, end, entity_type, score}]. */
  ner_endpoint: z.url({ protocol: /^https?$/ }).nullish(),
  input: sensitiveOptions.nullish(),
  output: sensitiveOptions.nullish(),
  retrieval: sensitiveOptions.nullish(),
})
export type SensitiveDataConfig = z.infer<typeof sensitiveData>

const regexOptions = z.looseObject({
  patterns: z.array(z.string().max(4096)).max(1000).nullish(),
  case_insensitive: z.boolean().nullish(),
})
const jailbreak = z.looseObject({
  server_endpoint: z.string().max(2048).nullish(),
  length_per_perplexity_threshold: z.number().nullish(),
  prefix_suffix_perplexity_threshold: z.number().nullish(),
  nim_base_url: z.string().max(2048).nullish(),
  nim_server_endpoint: z.string().max(2048).nullish(),
  nim_url: z.string().max(2048).nullish(),
  nim_port: z.int().nullish(),
  api_key: z.string().max(8192).nullish(),
  api_key_env_var: z.string().max(255).nullish(),
  embedding: z.string().nullish(),
  /** Model whose log-probabilities give the perplexity; the main model unless named. */
  perplexity_model: z.string().max(1024).nullish(),
})
export type JailbreakConfig = z.infer<typeof jailbreak>

const injection = z.looseObject({
  injections: z.array(z.enum(['code', 'sqli', 'template', 'xss'])).nullish(),
  action: z.enum(['reject', 'omit'], { error: 'must be reject or omit' }).nullish(),
  yara_path: z.string().max(2048).nullish(),
  yara_rules: record.nullish(),
})

/** How one rail behaves when its model is down or late; an addition of ours. */
export const railOptions = z.looseObject({
  on_error: z.enum(['block', 'allow'], { error: 'must be block or allow' }).nullish(),
  timeout: seconds.nullish(),
})
export type RailOptionsData = z.infer<typeof railOptions>

const railsConfig = z.looseObject({
  fact_checking: z
    .looseObject({ parameters: record.nullish(), fallback_to_self_check: z.boolean().nullish() })
    .nullish(),
  injection_detection: injection.nullish(),
  jailbreak_detection: jailbreak.nullish(),
  regex_detection: z
    .looseObject({
      input: regexOptions.nullish(),
      output: regexOptions.nullish(),
      retrieval: regexOptions.nullish(),
    })
    .nullish(),
  sensitive_data_detection: sensitiveData.nullish(),
  content_safety: z
    .looseObject({ reasoning: z.looseObject({ enabled: z.boolean().nullish() }).nullish() })
    .nullish(),
  rail_options: z.record(z.string(), railOptions).nullish(),
})

const streaming = z.looseObject({
  enabled: z.boolean().nullish(),
  chunk_size: z.int().min(1).max(100_000).nullish(),
  context_size: z.int().min(0).max(100_000).nullish(),
  stream_first: z.boolean().nullish(),
})

export const rails = z.looseObject({
  config: railsConfig.nullish(),
  input: z
    .looseObject({
      flows: flows.nullish(),
      parallel: z.boolean().nullish(),
      speculative_generation: z.boolean().nullish(),
    })
    .nullish(),
  output: z
    .looseObject({
      flows: flows.nullish(),
      parallel: z.boolean().nullish(),
      streaming: streaming.nullish(),
      apply_to_reasoning_traces: z.boolean().nullish(),
    })
    .nullish(),
  retrieval: z.looseObject({ flows: flows.nullish() }).nullish(),
  tool_input: z.looseObject({ flows: flows.nullish(), parallel: z.boolean().nullish() }).nullish(),
  tool_output: z.looseObject({ flows: flows.nullish(), parallel: z.boolean().nullish() }).nullish(),
  dialog: z
    .looseObject({
      single_call: z
        .looseObject({ enabled: z.boolean().nullish(), fallback_to_multiple_calls: z.boolean().nullish() })
        .nullish(),
      user_messages: z
        .looseObject({
          embeddings_only: z.boolean().nullish(),
          embeddings_only_similarity_threshold: z.number().nullish(),
          embeddings_only_fallback_intent: z.string().nullish(),
        })
        .nullish(),
    })
    .nullish(),
  actions: z.looseObject({ instant_actions: z.array(z.string()).nullish() }).nullish(),
})

const version = z.union([z.string(), z.number()]).transform((v) => (typeof v === 'number' ? v.toFixed(1) : v))

/** What a guardrails configuration holds: models, rails, prompts, instructions; unknown keys are kept. */
export const configData = z.looseObject({
  models: z.array(guardrailModel).max(100).default([]),
  rails: rails.nullish(),
  prompts: z.array(taskPrompt).max(1000).nullish(),
  instructions: z
    .array(z.looseObject({ type: z.string().max(255), content: z.string().max(1_000_000) }))
    .max(100)
    .nullish(),
  sample_conversation: z.string().max(1_000_000).nullish(),
  colang_version: version.nullish(),
  /** Colang text beside the data, an addition of ours for configurations that come by the API. */
  colang_content: z.string().max(4_000_000).nullish(),
  user_messages: z.record(z.string(), z.array(z.string())).nullish(),
  bot_messages: z.record(z.string(), z.array(z.string())).nullish(),
  actions_server_url: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).nullish(),
  custom_data: record.nullish(),
  enable_multi_step_generation: z.boolean().nullish(),
  enable_rails_exceptions: z.boolean().nullish(),
  lowest_temperature: z.number().min(0).max(2).nullish(),
  passthrough: z.boolean().nullish(),
  prompting_mode: z.string().max(255).nullish(),
  tracing: record.nullish(),
  streaming: z.boolean().nullish(),
})
export type ConfigData = z.infer<typeof configData>
export type RailsData = z.infer<typeof rails>
