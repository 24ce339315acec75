// SPDX-License-Identifier: Apache-2.0
import { nowSeconds } from '@open-nemo/contract'
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import type {
  ChatLogprobs,
  ChatMessage,
  ChatRequest,
  ChatResponse,
} from '@open-nemo/contract/inference/schemas.ts'
import type { InferenceConfig } from '../config.ts'
import type { GenerateEvent, TokenLogprob } from '../engine/types.ts'
import { ChatTemplateError } from '../prompt/chat-template.ts'
import { checkAnswers, type LocalModel, merged, startAll, targetOf, Usage } from './generation.ts'
import { answerGrammar } from './grammar.ts'
import { samplingOf } from './sampling.ts'
import { type ParsedPiece, ToolCallParser } from './tool-calls.ts'

export interface AnswerContext {
  config: InferenceConfig
  signal: AbortSignal
  /** Unique part of the answer's id. */
  id: string
}

/** What one choice has produced since the last piece; `finish` comes with the last. */
interface ChoicePiece extends ParsedPiece {
  logprobs: TokenLogprob[]
  finish?: 'stop' | 'length' | 'tool_calls'
}

interface Chat {
  usage: Usage
  choices: AsyncGenerator<{ index: number; value: ChoicePiece }>
  n: number
}

/** Renders the prompt and starts all choices; what is wrong with the request throws here, before any answer. */
async function startChat(model: LocalModel, request: ChatRequest, ctx: AnswerContext): Promise<Chat> {
  const tools = request.tools?.length && request.tool_choice !== 'none' ? request.tools : undefined
  const sampling = samplingOf(request, ctx.config, request.max_completion_tokens ?? request.max_tokens)
  const grammar = answerGrammar(request)
  checkContent(request.messages)
  const target = await targetOf(model, { waitMs: ctx.config.NEMO_LOAD_WAIT * 1000, field: 'messages' })
  const template = model.base.template(target.loaded)
  if (!template) throw errors.NO_CHAT_TEMPLATE({ model: model.name, field: 'model' })
  let text: string
  try {
    text = template.render({ messages: request.messages, tools, add_generation_prompt: true })
  } catch (err) {
    if (err instanceof ChatTemplateError) {
      throw errors.MESSAGES_REFUSED({ reason: err.message, field: 'messages' }, { cause: err })
    }
    throw err
  }
  const n = request.n ?? 1
  checkAnswers(target, ctx.config, { count: n, field: 'n' })
  const topLogprobs = request.logprobs ? (request.top_logprobs ?? 0) : undefined
  const streams = Array.from({ length: n }, (_, i) =>
    target.generate(
      { ...sampling, seed: sampling.seed + i, prompt: { text }, grammar, topLogprobs },
      ctx.signal,
    ),
  )
  const started = await startAll(streams)
  const usage = new Usage()
  usage.prompt(started[0]?.promptTokens ?? 0, started[0]?.cachedTokens ?? 0)
  const parse = tools !== undefined
  return { usage, n, choices: merged(started.map(({ events }) => pieces(events, usage, parse))) }
}

/** Only text can be read; a picture that is silently left out would give a wrong answer. */
function checkContent(messages: ChatMessage[]): void {
  for (const { content } of messages) {
    const other = Array.isArray(content) && content.find((part) => part.type !== 'text')
    if (other) {
      throw errors.PARAMETER_NOT_SUPPORTED({
        field: `messages.content of type ${other.type}`,
        reason: 'the model reads text only',
      })
    }
  }
}

async function* pieces(
  events: AsyncGenerator<GenerateEvent>,
  usage: Usage,
  parse: boolean,
): AsyncGenerator<ChoicePiece> {
  const parser = parse ? new ToolCallParser() : undefined
  let called = false
  for await (const event of events) {
    if (event.type === 'text') {
      const piece = parser?.push(event.text) ?? { content: event.text, calls: [] }
      called ||= piece.calls.length > 0
      const logprobs = event.logprobs ?? []
      if (piece.content || piece.calls.length > 0 || logprobs.length > 0) yield { ...piece, logprobs }
    } else if (event.type === 'end') {
      usage.completion(event.completionTokens)
      const rest = parser?.flush() ?? { content: '', calls: [] }
      called ||= rest.calls.length > 0
      yield { ...rest, logprobs: [], finish: called ? 'tool_calls' : event.finish }
    }
  }
}

/** Answers a chat request with one JSON document. */
export async function answerChat(
  model: LocalModel,
  request: ChatRequest,
  ctx: AnswerContext,
): Promise<ChatResponse> {
  const chat = await startChat(model, request, ctx)
  const made = Array.from({ length: chat.n }, () => ({
    content: '',
    calls: [] as ParsedPiece['calls'],
    logprobs: [] as TokenLogprob[],
    finish: 'stop' as NonNullable<ChoicePiece['finish']>,
  }))
  for await (const { index, value } of chat.choices) {
    const choice = made[index]
    if (!choice) continue
    choice.content += value.content
    choice.calls.push(...value.calls)
    choice.logprobs.push(...value.logprobs)
    choice.finish = value.finish ?? choice.finish
  }
  return {
    id: `chatcmpl-${ctx.id}`,
    object: 'chat.completion',
    created: unixSeconds(),
    model: request.model,
    choices: made.map(({ content, calls, logprobs, finish }, index) => ({
      index,
      message: {
        role: 'assistant',
        content: calls.length > 0 && content === '' ? null : content,
        ...(calls.length > 0 ? { tool_calls: calls.map(wireCall) } : {}),
      },
      finish_reason: finish,
      logprobs: request.logprobs ? wireLogprobs(logprobs) : null,
    })),
    usage: chat.usage.value,
  }
}

/** Starts a streamed answer; the generator gives its chunks. */
export async function streamChat(
  model: LocalModel,
  request: ChatRequest,
  ctx: AnswerContext,
): Promise<AsyncGenerator<unknown>> {
  const chat = await startChat(model, request, ctx)
  return chatChunks(chat, request, ctx.id)
}

async function* chatChunks(chat: Chat, request: ChatRequest, id: string): AsyncGenerator<unknown> {
  const withUsage = request.stream_options?.include_usage === true
  const head = {
    id: `chatcmpl-${id}`,
    object: 'chat.completion.chunk',
    created: unixSeconds(),
    model: request.model,
  }
  const chunk = (
    index: number,
    delta: object,
    rest: { finish?: string; logprobs?: TokenLogprob[] } = {},
  ) => ({
    ...head,
    choices: [
      {
        index,
        delta,
        finish_reason: rest.finish ?? null,
        logprobs: rest.logprobs?.length ? wireLogprobs(rest.logprobs) : null,
      },
    ],
    ...(withUsage ? { usage: null } : {}),
  })
  for (let i = 0; i < chat.n; i++) yield chunk(i, { role: 'assistant', content: '' })
  const calls = new Array<number>(chat.n).fill(0)
  for await (const { index, value } of chat.choices) {
    if (value.content || value.logprobs.length > 0) {
      yield chunk(index, { content: value.content }, { logprobs: value.logprobs })
    }
    for (const call of value.calls) {
      const at = calls[index] ?? 0
      calls[index] = at + 1
      yield chunk(index, { tool_calls: [{ index: at, ...wireCall(call) }] })
    }
    if (value.finish) yield chunk(index, {}, { finish: value.finish })
  }
  if (withUsage) yield { ...head, choices: [], usage: chat.usage.value }
}

const wireCall = (call: ParsedPiece['calls'][number]) => ({
  id: call.id,
  type: 'function' as const,
  function: { name: call.name, arguments: call.arguments },
})

function wireLogprobs(logprobs: TokenLogprob[]): ChatLogprobs {
  const wire = ({ token, logprob }: { token: string; logprob: number }) => ({
    token,
    logprob,
    bytes: [...Buffer.from(token)],
  })
  return { content: logprobs.map((l) => ({ ...wire(l), top_logprobs: l.top.map(wire) })) }
}

export function unixSeconds(): number {
  return Math.floor(Date.parse(nowSeconds()) / 1000)
}
