// SPDX-License-Identifier: Apache-2.0
import type { ChatAnswer } from '../models/client.ts'
import { streamAnswer } from './ask.ts'
import type { EngineServices, Rail, Turn } from './compiled.ts'
import { chosenRails, prepareTurn, respondFrom, type TurnRequest } from './engine.ts'
import { mainMessages } from './main-prompt.ts'
import { endAction } from './recorder.ts'
import { type Block, runRails } from './run-rails.ts'

type Json = Record<string, unknown>

/** What a streamed turn gives, in order. */
export type StreamEvent =
  /** A chunk of the main model, passed on. */
  | { type: 'chunk'; chunk: Json }
  /** A whole answer at once: a refusal, what a flow says, or an answer that had to be checked whole. */
  | { type: 'answer'; text: string; answer: ChatAnswer | undefined; block: Block | undefined }
  /** The answer is stopped in the middle; nothing follows. */
  | { type: 'stopped'; block: Block }

export interface StreamedTurn {
  turn: Turn
  events: AsyncGenerator<StreamEvent>
}

/**
 * Starts a streamed turn; the rails of the input have run when it resolves. Output rails see the answer through
 * a sliding window where the configuration streams, and else whole before any of it is sent.
 */
export async function startStream(request: TurnRequest, services: EngineServices): Promise<StreamedTurn> {
  const prepared = await prepareTurn(request, services)
  const { turn } = prepared
  if (!prepared.wantsModel) {
    const { text, block, answer } = await respondFrom(prepared)
    return { turn, events: once({ type: 'answer', text, answer, block }) }
  }
  const output = chosenRails(turn, 'output', request.options)
  const tools = chosenRails(turn, 'tool_output', request.options)
  if (output.length + tools.length === 0) return { turn, events: await begun(passed(turn)) }
  const canWindow =
    turn.config.streaming.enabled &&
    tools.length === 0 &&
    output.every((rail) => !rail.transforms) &&
    !(Number(turn.parameters.n) > 1)
  if (canWindow) return { turn, events: await begun(windowed(turn, output)) }
  const { text, block, answer } = await respondFrom(prepared)
  return { turn, events: once({ type: 'answer', text, answer, block }) }
}

async function* once(event: StreamEvent): AsyncGenerator<StreamEvent> {
  yield event
}

/** Takes the first event, so that a model that refuses is an error of the request and not of its stream. */
async function begun(events: AsyncGenerator<StreamEvent>): Promise<AsyncGenerator<StreamEvent>> {
  const first = await events.next()
  return (async function* () {
    try {
      if (first.done) return
      yield first.value
      yield* events
    } finally {
      await events.return(undefined)
    }
  })()
}

async function* modelChunks(turn: Turn): AsyncGenerator<Json> {
  const log = turn.log.start('generation', 'generate answer')
  const action = log.action('generate_bot_message')
  const { parameters, signal } = turn
  try {
    const messages = mainMessages(turn)
    yield* streamAnswer(turn, { types: ['main'], task: 'general', messages, parameters, signal, action })
  } finally {
    endAction(action, null)
    log.end({ stop: false })
  }
}

async function* passed(turn: Turn): AsyncGenerator<StreamEvent> {
  for await (const chunk of modelChunks(turn)) yield { type: 'chunk', chunk }
}

function textOf(chunk: Json): string {
  const [choice] = (chunk.choices ?? []) as { delta?: { content?: unknown } }[]
  return typeof choice?.delta?.content === 'string' ? choice.delta.content : ''
}

/**
 * Holds chunks back until the rails have seen them, `chunkSize` at a time with `contextSize` of the last ones
 * again before them; with `streamFirst` they are sent at once, and the stream is stopped when a rail says so.
 */
async function* windowed(turn: Turn, rails: readonly Rail[]): AsyncGenerator<StreamEvent> {
  const { chunkSize, contextSize, streamFirst } = turn.config.streaming
  let context: string[] = []
  let fresh: string[] = []
  let held: Json[] = []
  const check = async (): Promise<Block | undefined> => {
    const window = [...context, ...fresh]
    context = contextSize > 0 ? window.slice(-contextSize) : []
    fresh = []
    const text = window.join('')
    turn.variables.bot_message = text
    return (await runRails({ turn, stage: 'output', rails, text })).block
  }
  for await (const chunk of modelChunks(turn)) {
    const text = textOf(chunk)
    if (text !== '') fresh.push(text)
    // What closes the answer waits for the last check even when the text does not.
    if (streamFirst && text !== '') yield { type: 'chunk', chunk }
    else held.push(chunk)
    if (context.length + fresh.length < chunkSize) continue
    const block = await check()
    if (block) return yield { type: 'stopped', block }
    for (const done of held) yield { type: 'chunk', chunk: done }
    held = []
  }
  const block = fresh.length ? await check() : undefined
  if (block) return yield { type: 'stopped', block }
  for (const done of held) yield { type: 'chunk', chunk: done }
}
