// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

const model = z.string().min(1).max(1024)

/** Sampling parameters that both operations share; absent or null means the model's default. */
const sampling = {
  model,
  max_tokens: z.int().min(0).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(-1).max(1000).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  n: z.int().min(1).max(16).nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string().max(1024), z.array(z.string().max(1024)).max(16)]).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  ignore_eos: z.boolean().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  best_of: z.int().min(1).nullish(),
  logit_bias: z.record(z.string(), z.number()).nullish(),
  user: z.string().max(1024).nullish(),
}

export const responseFormat = z.looseObject({
  type: z.enum(['text', 'json_object', 'json_schema'], {
    error: 'must be text, json_object or json_schema',
  }),
  json_schema: z
    .looseObject({
      name: z.string().max(256).nullish(),
      schema: z.record(z.string(), z.unknown()).nullish(),
      strict: z.boolean().nullish(),
    })
    .nullish(),
})

export const toolCall = z.looseObject({
  id: z.string().max(256).nullish(),
  type: z.literal('function').nullish(),
  function: z
    .looseObject({
      name: z.string().max(256),
      arguments: z.union([z.string(), z.record(z.string(), z.unknown())]).nullish(),
    })
    .nullish(),
})

export const contentPart = z.looseObject({ type: z.string().max(64), text: z.string().nullish() })

export const chatMessage = z.looseObject({
  role: z.string().min(1).max(64),
  content: z.union([z.string(), z.array(contentPart), z.null()], { error: 'must be text' }).optional(),
  name: z.string().max(256).nullish(),
  tool_calls: z.array(toolCall).max(128).nullish(),
  tool_call_id: z.string().max(256).nullish(),
})
export type ChatMessage = z.infer<typeof chatMessage>

export const tool = z.looseObject({
  type: z.literal('function', { error: 'must be function' }),
  function: z.looseObject({
    name: z.string().regex(/^[\w.:-]{1,128}$/, 'must be 1 to 128 letters, digits or _.:-'),
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.boolean().nullish(),
  }),
})
export type Tool = z.infer<typeof tool>

export const toolChoice = z.union(
  [
    z.enum(['auto', 'none', 'required']),
    z.looseObject({ type: z.literal('function'), function: z.looseObject({ name: z.string() }) }),
  ],
  { error: 'must be auto, none, required or {type: "function", function: {name}}' },
)

export const chatRequest = z.looseObject({
  ...sampling,
  max_tokens: z.int().min(1).nullish(),
  messages: z.array(chatMessage).min(1, 'must hold at least one message').max(10_000),
  max_completion_tokens: z.int().min(1).nullish(),
  tools: z.array(tool).max(128).nullish(),
  tool_choice: toolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  response_format: responseFormat.nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
})
export type ChatRequest = z.infer<typeof chatRequest>

export const completionRequest = z.looseObject({
  ...sampling,
  prompt: z.union(
    [
      z.string(),
      z.array(z.string()).min(1).max(256),
      z.array(z.int()).min(1),
      z.array(z.array(z.int())).min(1).max(256),
    ],
    { error: 'must be text, token ids, or a list of 1 to 256 texts or token id lists' },
  ),
  echo: z.boolean().nullish(),
  suffix: z.string().nullish(),
  logprobs: z.int().min(0).max(20).nullish(),
  response_format: responseFormat.nullish(),
})
export type CompletionRequest = z.infer<typeof completionRequest>

/** As vLLM has it: a text or a conversation. */
export const tokenizeRequest = z
  .looseObject({
    model: z.string().max(1024).nullish(),
    prompt: z.string().optional(),
    messages: z.array(chatMessage).min(1).max(10_000).optional(),
    tools: z.array(tool).max(128).nullish(),
    add_generation_prompt: z.boolean().nullish(),
    add_special_tokens: z.boolean().nullish(),
    return_token_strs: z.boolean().nullish(),
  })
  .refine(({ prompt, messages }) => (prompt === undefined) !== (messages === undefined), {
    path: ['prompt'],
    error: 'give either a prompt or messages',
  })
export type TokenizeRequest = z.infer<typeof tokenizeRequest>
export const tokenizeResponse = z.looseObject({
  count: z.int(),
  max_model_len: z.int(),
  tokens: z.array(z.int()),
  token_strs: z.array(z.string()).nullable(),
})
export const detokenizeRequest = z.looseObject({
  model: z.string().max(1024).nullish(),
  tokens: z.array(z.int()).max(1_048_576),
})
export type DetokenizeRequest = z.infer<typeof detokenizeRequest>
export const detokenizeResponse = z.looseObject({ prompt: z.string() })
export const tokenizerInfo = z.looseObject({
  bos_token: z.string().nullable(),
  eos_token: z.string().nullable(),
  chat_template: z.string().optional(),
})

const embeddingInput = z.union(
  [
    z.string(),
    z.array(z.string()).min(1).max(2048),
    z.array(z.int()).min(1),
    z.array(z.array(z.int()).min(1)).min(1).max(2048),
  ],
  { error: 'must be text, a list of at most 2048 texts, token ids, or a list of token id lists' },
)
export const embeddingRequest = z.looseObject({
  model,
  input: embeddingInput,
  encoding_format: z.enum(['float', 'base64'], { error: 'must be float or base64' }).nullish(),
  /** Models that tell queries from passages use it; the reference model embeds both alike. */
  input_type: z.enum(['query', 'passage'], { error: 'must be query or passage' }).nullish(),
  truncate: z.enum(['NONE', 'START', 'END'], { error: 'must be NONE, START or END' }).nullish(),
  dimensions: z.int().min(1).nullish(),
  user: z.string().max(1024).nullish(),
})
export type EmbeddingRequest = z.infer<typeof embeddingRequest>

export const embeddingResponse = z.object({
  object: z.literal('list'),
  data: z.array(
    z.object({
      object: z.literal('embedding'),
      index: z.int(),
      embedding: z.union([z.array(z.number()), z.string()]),
    }),
  ),
  model: z.string(),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
})
export type EmbeddingResponse = z.infer<typeof embeddingResponse>

const rankedText = z.looseObject({ text: z.string() })
export const rankingRequest = z.looseObject({
  model,
  query: rankedText,
  passages: z.array(rankedText).min(1).max(2048, { error: 'must be at most 2048 passages' }),
  truncate: z.enum(['NONE', 'END'], { error: 'must be NONE or END' }).nullish(),
})
export type RankingRequest = z.infer<typeof rankingRequest>

export const rankingResponse = z.object({
  /** Best passage first. */
  rankings: z.array(z.object({ index: z.int(), logit: z.number() })),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
})
export type RankingResponse = z.infer<typeof rankingResponse>

export const usageInfo = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }).optional(),
})
export type UsageInfo = z.infer<typeof usageInfo>

const tokenLogprob = z.object({
  token: z.string(),
  logprob: z.number(),
  bytes: z.array(z.int()).nullable(),
})
export const chatLogprobs = z.object({
  content: z.array(tokenLogprob.extend({ top_logprobs: z.array(tokenLogprob) })),
})
export type ChatLogprobs = z.infer<typeof chatLogprobs>

const answered = {
  id: z.string(),
  created: z.int(),
  model: z.string(),
  usage: usageInfo,
}
export const chatResponse = z.object({
  ...answered,
  object: z.literal('chat.completion'),
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({
        role: z.literal('assistant'),
        content: z.string().nullable(),
        tool_calls: z
          .array(
            z.object({
              id: z.string(),
              type: z.literal('function'),
              function: z.object({ name: z.string(), arguments: z.string() }),
            }),
          )
          .optional(),
      }),
      finish_reason: z.enum(['stop', 'length', 'tool_calls']),
      logprobs: chatLogprobs.nullable(),
    }),
  ),
})
export type ChatResponse = z.infer<typeof chatResponse>

export const completionLogprobs = z.object({
  tokens: z.array(z.string()),
  token_logprobs: z.array(z.number().nullable()),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
  text_offset: z.array(z.int()),
})
export const completionResponse = z.object({
  ...answered,
  object: z.literal('text_completion'),
  choices: z.array(
    z.object({
      index: z.int(),
      text: z.string(),
      finish_reason: z.enum(['stop', 'length']),
      logprobs: completionLogprobs.nullable(),
    }),
  ),
})
export type CompletionResponse = z.infer<typeof completionResponse>

/** One entry of a NIM's model list; adapters have their base as `root` and `parent`. */
export const servedModel = z.looseObject({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
  root: z.string(),
  parent: z.string().nullable(),
  max_model_len: z.int().nullable(),
  permission: z.array(z.unknown()),
})
export type ServedModelData = z.infer<typeof servedModel>
export const servedModelList = z.object({ object: z.literal('list'), data: z.array(servedModel) })
