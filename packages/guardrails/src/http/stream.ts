// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import type { StreamEvent, StreamedTurn } from '../engine/stream.ts'
import { newChatId, spoken, unixSeconds } from './present.ts'

type Json = Record<string, unknown>

/** The events of a streamed turn as chunks of a chat, or of a text completion. */
export async function* streamChunks(streamed: StreamedTurn, kind: 'chat' | 'text'): AsyncGenerator<Json> {
  const { turn, events } = streamed
  const head = {
    id: kind === 'chat' ? newChatId() : `cmpl-${randomUUID()}`,
    object: kind === 'chat' ? 'chat.completion.chunk' : 'text_completion',
    created: unixSeconds(),
    model: turn.config.models.get('main')?.name ?? turn.model ?? '-',
  }
  for await (const event of events) {
    if (event.type === 'chunk') {
      yield kind === 'chat'
        ? { ...event.chunk, id: head.id, object: head.object }
        : textChunk(event.chunk, head)
    } else if (event.type === 'answer') yield* answerChunks(event, streamed, head, kind)
    else {
      const { rail } = event.block
      const error = {
        message: `Blocked by ${rail} rails.`,
        type: 'guardrails_violation',
        param: rail,
        code: 'content_blocked',
      }
      // Clients that look at every chunk's choices find none; those that know errors raise this one.
      yield { ...head, choices: [], error }
      return
    }
  }
}

function* answerChunks(
  event: StreamEvent & { type: 'answer' },
  { turn }: StreamedTurn,
  head: Json,
  kind: 'chat' | 'text',
): Generator<Json> {
  const { answer, block, text } = event
  const model = answer?.model ?? (block ? '-' : head.model)
  const choices = answer?.choices ?? [
    { index: 0, message: spoken({ turn, block, dialog: undefined }, text), finish_reason: 'stop' },
  ]
  for (const [index, choice] of choices.entries()) {
    const { role, content, tool_calls } = choice.message as Json
    if (kind === 'text') {
      yield {
        ...head,
        model,
        choices: [
          { index, text: content ?? '', finish_reason: choice.finish_reason ?? 'stop', logprobs: null },
        ],
      }
      continue
    }
    const calls = Array.isArray(tool_calls) && tool_calls.length
    const delta = {
      role,
      content,
      ...(calls ? { tool_calls: tool_calls.map((c, i) => ({ index: i, ...c })) } : {}),
    }
    yield { ...head, model, choices: [{ index, delta, finish_reason: null, logprobs: null }] }
    yield {
      ...head,
      model,
      choices: [{ index, delta: {}, finish_reason: choice.finish_reason ?? 'stop', logprobs: null }],
    }
  }
}

function textChunk(chunk: Json, head: Json): Json {
  const choices = (
    (chunk.choices ?? []) as { index?: number; delta?: { content?: string }; finish_reason?: unknown }[]
  ).map((c, i) => ({
    index: c.index ?? i,
    text: c.delta?.content ?? '',
    finish_reason: c.finish_reason ?? null,
    logprobs: null,
  }))
  return { ...head, choices, ...(chunk.usage ? { usage: chunk.usage } : {}) }
}
