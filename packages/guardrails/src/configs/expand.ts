// SPDX-License-Identifier: Apache-2.0
import type { ConfigData } from '@open-nemo/contract/guardrails/config-data.ts'

const INSTRUCTIONS = [
  {
    type: 'general',
    content:
      'This is a conversation between a user and a helpful assistant. The assistant answers in detail, and says so ' +
      'when it does not know something.',
  },
]

const SAMPLE_CONVERSATION = `user "Hello there!"
  express greeting
bot express greeting
  "Hello! What can I do for you?"
user "What can you help me with?"
  ask about capabilities
bot respond about capabilities
  "I can answer questions, and write or summarise texts for you."
user "Thank you"
  express appreciation
bot express appreciation and offer additional help
  "You are welcome. Tell me if there is anything else."
`

const FLOWS = { flows: [] as string[] }
const BESIDE = { parallel: false, ...FLOWS }

/** The configuration as answers show it: what it leaves out stands there with its default. */
export function expandData(data: ConfigData): Record<string, unknown> {
  const { models, rails, ...rest } = withoutNulls(data) as ConfigData
  return {
    instructions: INSTRUCTIONS,
    sample_conversation: SAMPLE_CONVERSATION,
    actions_server_url: null,
    prompts: null,
    prompting_mode: 'standard',
    lowest_temperature: 0.001,
    enable_multi_step_generation: false,
    colang_version: '1.0',
    custom_data: {},
    passthrough: null,
    enable_rails_exceptions: false,
    tracing: {
      enabled: false,
      adapters: [{ name: 'FileSystem' }],
      span_format: 'opentelemetry',
      enable_content_capture: false,
    },
    ...rest,
    models: models.map((model) => ({
      api_key_env_var: null,
      mode: 'chat',
      parameters: {},
      reasoning_config: { remove_reasoning_traces: true, start_token: null, end_token: null },
      ...withoutNulls(model),
    })),
    rails: {
      config: null,
      actions: { instant_actions: null },
      ...rails,
      input: { ...BESIDE, ...rails?.input },
      output: {
        ...BESIDE,
        apply_to_reasoning_traces: false,
        ...rails?.output,
        streaming: {
          enabled: false,
          chunk_size: 200,
          context_size: 50,
          stream_first: true,
          ...rails?.output?.streaming,
        },
      },
      retrieval: { ...FLOWS, ...rails?.retrieval },
      tool_input: { ...BESIDE, ...rails?.tool_input },
      tool_output: { ...BESIDE, ...rails?.tool_output },
      dialog: {
        ...rails?.dialog,
        single_call: { enabled: false, fallback_to_multiple_calls: true, ...rails?.dialog?.single_call },
        user_messages: {
          embeddings_only: false,
          embeddings_only_similarity_threshold: null,
          embeddings_only_fallback_intent: null,
          ...rails?.dialog?.user_messages,
        },
      },
    },
  }
}

/** What a client sends back of an expanded configuration: the default instructions are not instructions of its own. */
export function withoutDefaults<T extends Record<string, unknown>>(data: T): T {
  const out: Record<string, unknown> = { ...data }
  if (JSON.stringify(out.instructions) === JSON.stringify(INSTRUCTIONS)) delete out.instructions
  if (out.sample_conversation === SAMPLE_CONVERSATION) delete out.sample_conversation
  return out as T
}

function withoutNulls(value: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(value).filter(([, inner]) => inner !== null && inner !== undefined),
  )
}
