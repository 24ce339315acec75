// SPDX-License-Identifier: Apache-2.0
import type { ChatAnswer } from '../models/client.ts'
import { streamAnswer } from './ask.ts'
import { type Chunk, textOf } from './chunk.ts'
import type { EngineServices, Rail, Turn } from './compiled.ts'
import { chosenRails, prepareTurn, respondFrom, type StartAnswer, type TurnRequest } from './engine.ts'
import { mainMessages } from './main-prompt.ts'
import { masked } from './masked-stream.ts'
import { endAction } from './recorder.ts'
import { type Block, runRails } from './run-rails.ts'

/** What a streamed turn gives, in order. */
export type StreamEvent =
  /** A chunk of the main model, passed on. */
  | { type: 'chunk'; chunk: Chunk }
  /** A whole answer at once: a refusal, what a flow says, or an answer that had to be checked whole. */
  | { type: 'answer'; text: string; answer: ChatAnswer | undefined; block: Block | undefined }
  /** The answer is stopped in the middle; nothing follows. */
  | { type: 'stopped'; block: Block }

export interface StreamedTurn {
  turn: Turn
  events: AsyncGenerator<StreamEvent>
}

/**
 * Starts a streamed turn; the rails of the input have run when it resolves, beside the model where the configuration
 * permits it. Output rails see the answer through a sliding window where the configuration streams, and else whole
 * before any of it is sent.
 */
export async function startStream(request: TurnRequest, services: EngineServices): Promise<StreamedTurn> {
  const way = wayOf(request)
  if (way.kind === 'whole') return wholeTurn(request, services)
  const prepared = await prepareTurn(request, services, readAhead)
  const { turn, early, wantsModel } = prepared
  if (!wantsModel) {
    const { text, block, answer } = await respondFrom({ ...prepared, early: undefined })
    return { turn, events: once({ type: 'answer', text, answer, block }) }
  }
  const chunks = early ?? modelChunks(turn, turn.signal)
  return { turn, events: await begun(way.events(turn, chunks)) }
}

type Way =
  | { kind: 'whole' }
  | { kind: 'streamed'; events: (turn: Turn, chunks: AsyncGenerator<Chunk>) => AsyncGenerator<StreamEvent> }

/** How an answer can be sent past the rails of the output. */
function wayOf({ config, options, parameters }: TurnRequest): Way {
  const output = chosenRails({ config }, 'output', options)
  const tools = chosenRails({ config }, 'tool_output', options)
  if (output.length + tools.length === 0) return { kind: 'streamed', events: (_, chunks) => passed(chunks) }
  const { n } = { ...parameters, ...options?.llm_params } as { n?: unknown }
  const canWindow =
    config.streaming.enabled &&
    tools.length === 0 &&
    // What a model or a flow makes of a piece of a text says nothing about the piece before it.
    output.every((rail) => !rail.transforms || !rail.usesModel) &&
    !(Number(n) > 1)
  if (!canWindow) return { kind: 'whole' }
  const changes = output.some((rail) => rail.transforms)
  return {
    kind: 'streamed',
    events: (turn, chunks) => (changes ? masked(turn, output, chunks) : windowed(turn, output, chunks)),
  }
}

async function wholeTurn(request: TurnRequest, services: EngineServices): Promise<StreamedTurn> {
  const prepared = await prepareTurn<Promise<ChatAnswer>>(request, services)
  const { text, block, answer } = await respondFrom(prepared)
  return { turn: prepared.turn, events: once({ type: 'answer', text, answer, block }) }
}

async function* once(event: StreamEvent): AsyncGenerator<StreamEvent> {
  yield event
}

/** Takes the first event, so that a model that refuses is an error of the request and not of its stream. */
async function begun<T>(events: AsyncGenerator<T>): Promise<AsyncGenerator<T>> {
  return resumed(await events.next(), events)
}

/** Asks the model and waits for its first chunk, while the rails of the input run. */
const readAhead: StartAnswer<AsyncGenerator<Chunk>> = (turn, signal) => {
  const chunks = modelChunks(turn, signal)
  const first = chunks.next()
  first.catch(() => undefined)
  return resumed(first, chunks)
}

async function* resumed<T>(
  taken: IteratorResult<T> | Promise<IteratorResult<T>>,
  rest: AsyncGenerator<T>,
): AsyncGenerator<T> {
  try {
    const first = await taken
    if (first.done) return
    yield first.value
    yield* rest
  } finally {
    await rest.return(undefined)
  }
}

async function* modelChunks(turn: Turn, signal: AbortSignal): AsyncGenerator<Chunk> {
  const log = turn.log.start('generation', 'generate answer')
  const action = log.action('generate_bot_message')
  const { parameters } = turn
  try {
    const messages = mainMessages(turn)
    yield* streamAnswer(turn, { types: ['main'], task: 'general', messages, parameters, signal, action })
  } finally {
    endAction(action, null)
    log.end({ stop: false })
  }
}

async function* passed(chunks: AsyncGenerator<Chunk>): AsyncGenerator<StreamEvent> {
  for await (const chunk of chunks) yield { type: 'chunk', chunk }
}

/**
 * Holds chunks back until the rails have seen them, `chunkSize` at a time with `contextSize` of the last ones
 * again before them; with `streamFirst` they are sent at once, and the stream is stopped when a rail says so.
 */
async function* windowed(
  turn: Turn,
  rails: readonly Rail[],
  chunks: AsyncGenerator<Chunk>,
): AsyncGenerator<StreamEvent> {
  const { chunkSize, contextSize, streamFirst } = turn.config.streaming
  let context: string[] = []
  let fresh: string[] = []
  let held: Chunk[] = []
  const check = async (): Promise<Block | undefined> => {
    const window = [...context, ...fresh]
    context = contextSize > 0 ? window.slice(-contextSize) : []
    fresh = []
    const text = window.join('')
    turn.variables.bot_message = text
    return (await runRails({ turn, stage: 'output', rails, text })).block
  }
  for await (const chunk of chunks) {
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
