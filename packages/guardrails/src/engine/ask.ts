// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import { guardrailsErrors as errors } from '@open-nemo/contract/guardrails/errors.ts'
import { type ChatAnswer, callModel, type ModelCall, streamModel } from '../models/client.ts'
import { type ModelEndpoint, nimEndpoint } from '../models/resolve.ts'
import type { Turn } from './compiled.ts'
import { type ActionRecord, type LlmCallRecord, seconds } from './recorder.ts'
import { messageText } from './text.ts'
import type { Message } from './types.ts'

export interface Question {
  /** Types of models to ask, the first that the configuration has; `main` is always there. */
  types: string[]
  task: string
  messages: Message[]
  parameters: Record<string, unknown>
  signal: AbortSignal
  /** Where the call is logged. */
  action: ActionRecord
}

/** Asks a model of the configuration and logs the call. Throws ModelError. */
export async function askModel(turn: Turn, question: Question): Promise<ChatAnswer> {
  const call = modelCall(turn, question)
  const record = startRecord(call, question)
  try {
    const answer = await callModel(call)
    const [choice] = answer.choices
    finishRecord(record, messageText(choice?.message), answer)
    return answer
  } finally {
    record.finished_at = seconds()
    record.duration = record.finished_at - record.started_at
  }
}

/** Asks for a streamed answer; the record gets what came when the stream ends. */
export async function* streamAnswer(turn: Turn, question: Question): AsyncGenerator<Record<string, unknown>> {
  const call = modelCall(turn, question)
  const record = startRecord(call, question)
  let text = ''
  try {
    for await (const chunk of streamModel(call)) {
      const [choice] = (chunk.choices ?? []) as { delta?: { content?: unknown } }[]
      if (typeof choice?.delta?.content === 'string') text += choice.delta.content
      if (chunk.usage) countTokens(record, chunk.usage as ChatAnswer['usage'])
      yield chunk
    }
  } finally {
    record.completion = text
    record.finished_at = seconds()
    record.duration = record.finished_at - record.started_at
  }
}

/** The endpoint that a turn's main model answers at. */
export function mainEndpoint(turn: Turn): ModelEndpoint {
  return turn.config.models.get('main') ?? nimEndpoint(turn.services.models)
}

function modelCall(turn: Turn, question: Question): ModelCall {
  const type = question.types.find((t) => turn.config.models.has(t))
  const endpoint = (type && turn.config.models.get(type)) || mainEndpoint(turn)
  const model = endpoint.name ?? turn.model
  if (!model) throw errors.NO_MODEL()
  // The caller's key is for the model that the caller talks to, and for whatever has no key of its own.
  const isTheirs = endpoint.type === 'main' || endpoint.isNim || !endpoint.key
  const key = isTheirs && sameServer(turn, endpoint) ? (turn.modelKey ?? endpoint.key) : endpoint.key
  const { messages, parameters, signal } = question
  return { endpoint, model, key, messages, parameters, signal, fetch: turn.services.fetch }
}

// A configuration may point a judge at any server; the caller's key must not follow it there.
function sameServer(turn: Turn, endpoint: ModelEndpoint): boolean {
  return endpoint.isNim || endpoint.type === 'main' || endpoint.url === mainEndpoint(turn).url
}

function startRecord(call: ModelCall, { task, action }: Question): LlmCallRecord {
  const now = seconds()
  const record: LlmCallRecord = {
    task,
    duration: 0,
    total_tokens: 0,
    prompt_tokens: 0,
    completion_tokens: 0,
    started_at: now,
    finished_at: now,
    id: randomUUID(),
    prompt: promptText(call.messages),
    completion: '',
    raw_response: null,
    llm_model_name: call.model,
  }
  action.llm_calls.push(record)
  return record
}

function finishRecord(record: LlmCallRecord, completion: string, answer: ChatAnswer): void {
  record.completion = completion
  record.raw_response = answer
  countTokens(record, answer.usage)
}

function countTokens(record: LlmCallRecord, usage: ChatAnswer['usage']): void {
  record.prompt_tokens = usage?.prompt_tokens ?? 0
  record.completion_tokens = usage?.completion_tokens ?? 0
  record.total_tokens = usage?.total_tokens ?? record.prompt_tokens + record.completion_tokens
}

/** One user message is shown as its text, a conversation with a line for each role. */
function promptText(messages: Message[]): string {
  const [only] = messages
  if (messages.length === 1 && only) return messageText(only)
  return messages.map((m) => `[${m.role}]\n${messageText(m)}`).join('\n')
}
