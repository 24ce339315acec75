// SPDX-License-Identifier: Apache-2.0
import {
  type Llama,
  LlamaGrammarEvaluationState,
  type LlamaModel,
  type SequenceEvaluateOptions,
  type Token,
} from 'node-llama-cpp'
import {
  type Echo,
  EngineError,
  type GenerateEvent,
  type GenerateRequest,
  type TokenLogprob,
} from '../types.ts'
import { Batching } from './batching.ts'
import { generatedLogprob, promptLogprobs } from './logprobs.ts'
import type { SequencePool, Slot } from './pool.ts'
import { StopFilter, TokenDecoder } from './text-stream.ts'
import { promptTokens } from './tokens.ts'

export interface GenerateContext {
  llama: Llama
  model: LlamaModel
  pool: SequencePool
  emit: (event: GenerateEvent) => void
}

/** Generates for one request on one sequence of the pool. Throws EngineError, or the abort reason. */
export async function generate(
  context: GenerateContext,
  request: GenerateRequest,
  signal: AbortSignal,
): Promise<void> {
  const { model, pool } = context
  const tokens = promptTokens(model, request)
  const { contextSize } = pool
  if (tokens.length >= contextSize) {
    throw new EngineError('context_overflow', `the prompt has ${tokens.length} tokens`, {
      promptTokens: tokens.length,
      contextSize,
    })
  }
  const grammar = await grammarState(context, request)
  const slot = await pool.acquire(tokens, signal)
  try {
    await run({ ...context, slot, tokens, grammar, room: contextSize - tokens.length }, request, signal)
  } finally {
    pool.release(slot)
  }
}

async function grammarState(context: GenerateContext, request: GenerateRequest) {
  if (request.grammar === undefined) return undefined
  try {
    const grammar = await context.llama.createGrammar({ grammar: request.grammar })
    return new LlamaGrammarEvaluationState({ model: context.model, grammar })
  } catch (cause) {
    throw new EngineError('bad_grammar', cause instanceof Error ? cause.message : String(cause))
  }
}

interface Run extends GenerateContext {
  slot: Slot
  tokens: Token[]
  grammar: LlamaGrammarEvaluationState | undefined
  room: number
}

async function run(on: Run, request: GenerateRequest, signal: AbortSignal): Promise<void> {
  const { sequence } = on.slot
  const scoring = request.echo?.logprobs !== undefined
  if (request.repeatable || scoring) await sequence.clearHistory()
  else await sequence.adaptStateToTokens(on.tokens.slice(0, -1), false)
  on.emit({ type: 'start', promptTokens: on.tokens.length, cachedTokens: sequence.nextTokenIndex })
  if (request.echo) await echo(on, request, request.echo, signal)
  const cachedTokens = sequence.nextTokenIndex

  const limit = Math.min(request.maxTokens, on.room)
  const writer = new TextWriter(on, request.stop)
  const generated: Token[] = []
  let finish: 'stop' | 'length' = 'length'
  const steps =
    limit > 0
      ? on.pool.batching.together(evaluated(on, request, on.tokens.slice(cachedTokens), generated))
      : []
  for await (const { token, logprob } of steps) {
    signal.throwIfAborted()
    const ended = on.model.isEogToken(token) && !request.ignoreEos
    if (!ended) generated.push(token)
    // Who reads log-probabilities by position counts on one for each step, the end included.
    if (ended && scoring && logprob) on.emit({ type: 'text', text: '', logprobs: [logprob] })
    if (ended || writer.push(token, logprob)) finish = 'stop'
    if (finish === 'stop' || generated.length >= limit) break
  }
  signal.throwIfAborted()
  if (writer.flush()) finish = 'stop'
  on.emit({ type: 'end', finish, completionTokens: generated.length })
}

async function echo(
  { model, slot, tokens, emit }: Run,
  { prompt }: GenerateRequest,
  wanted: Echo,
  signal: AbortSignal,
): Promise<void> {
  if (wanted.logprobs === undefined) {
    return emit({ type: 'prompt', text: 'text' in prompt ? prompt.text : model.detokenize(tokens, true) })
  }
  const logprobs = await promptLogprobs(model, slot.sequence, tokens, wanted.logprobs, signal)
  emit({ type: 'prompt', text: logprobs.map(({ token }) => token).join(''), logprobs })
}

/** From tokens to text events, ending at a stop sequence. */
class TextWriter {
  #emit: Run['emit']
  #stops: StopFilter
  #decoder: TokenDecoder<Token>
  #stopped = false

  constructor({ model, tokens, emit }: Run, stop: string[]) {
    this.#emit = emit
    this.#stops = new StopFilter(stop)
    this.#decoder = new TokenDecoder((some, before) => model.detokenize(some, false, before), tokens)
  }

  /** True when the text has come to a stop sequence. */
  push(token: Token, logprob?: TokenLogprob): boolean {
    return this.#say(this.#decoder.push(token), logprob)
  }

  flush(): boolean {
    if (this.#stopped) return true
    if (this.#say(this.#decoder.flush())) return true
    const text = this.#stops.flush()
    if (text) this.#emit({ type: 'text', text })
    return false
  }

  #say(text: string, logprob?: TokenLogprob): boolean {
    const piece = this.#stops.push(text)
    this.#stopped = piece.stopped
    if (piece.text || logprob) {
      this.#emit({ type: 'text', text: piece.text, ...(logprob ? { logprobs: [logprob] } : {}) })
    }
    return piece.stopped
  }
}

async function* evaluated(
  on: Run,
  request: GenerateRequest,
  tokens: Token[],
  generated: Token[],
): AsyncGenerator<{ token: Token; logprob?: TokenLogprob }> {
  const options = sampling(on, request, generated)
  if (request.topLogprobs === undefined) {
    for await (const token of on.slot.sequence.evaluate(tokens, options)) yield { token }
    return
  }
  const steps = on.slot.sequence.evaluateWithMetadata(tokens, { probabilities: true }, options)
  for await (const { token, probabilities } of steps) {
    yield {
      token,
      logprob: generatedLogprob(on.model, token, probabilities, request.temperature, request.topLogprobs),
    }
  }
}

function sampling(on: Run, request: GenerateRequest, generated: Token[]): SequenceEvaluateOptions {
  const { temperature, topP, topK, minP, seed, frequencyPenalty, presencePenalty } = request
  const penalised = frequencyPenalty !== 0 || presencePenalty !== 0
  return {
    temperature,
    topP,
    topK,
    minP,
    seed,
    evaluationPriority: Batching.place(on.slot.index),
    yieldEogToken: true,
    grammarEvaluationState: on.grammar,
    contextShift: {
      strategy: () => {
        throw new EngineError('internal', 'the context is full')
      },
    },
    ...(penalised
      ? { repeatPenalty: { punishTokens: () => generated, penalty: 1, frequencyPenalty, presencePenalty } }
      : {}),
  }
}
