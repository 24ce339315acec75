// SPDX-License-Identifier: Apache-2.0
import type { CompletionRequest, CompletionResponse } from '@open-nemo/contract/inference/schemas.ts'
import type { Echo, GenerateEvent, Prompt, PromptLogprob } from '../engine/types.ts'
import { type AnswerContext, unixSeconds } from './chat.ts'
import { checkAnswers, type LocalModel, merged, startAll, targetOf, Usage } from './generation.ts'
import { answerGrammar } from './grammar.ts'
import { samplingOf } from './sampling.ts'

interface Completion {
  usage: Usage
  events: AsyncGenerator<{ index: number; value: GenerateEvent }>
  /** Choices in all. */
  count: number
}

async function startCompletion(
  model: LocalModel,
  request: CompletionRequest,
  ctx: AnswerContext,
): Promise<Completion> {
  const sampling = samplingOf(request, ctx.config, request.max_tokens)
  const grammar = answerGrammar({ response_format: request.response_format })
  const prompts = promptsOf(request.prompt)
  const target = await targetOf(model, { waitMs: ctx.config.NEMO_LOAD_WAIT * 1000, field: 'prompt' })
  const n = request.n ?? 1
  checkAnswers(target, ctx.config, { count: prompts.length * n, field: n > 1 ? 'n' : 'prompt' })
  const topLogprobs = request.logprobs ?? undefined
  const echo = request.echo ? await echoOf(model, topLogprobs) : undefined
  const streams = prompts.flatMap((prompt) =>
    Array.from({ length: n }, (_, i) => {
      const asked = { ...sampling, seed: sampling.seed + i, prompt, grammar, topLogprobs, echo }
      return target.generate(asked, ctx.signal)
    }),
  )
  const started = await startAll(streams)
  const usage = new Usage()
  for (const [i, { promptTokens, cachedTokens }] of started.entries()) {
    if (i % n === 0) usage.prompt(promptTokens, cachedTokens)
  }
  return { usage, count: streams.length, events: merged(started.map((s) => s.events)) }
}

async function echoOf(model: LocalModel, logprobs: number | undefined): Promise<Echo> {
  return logprobs === undefined ? {} : { logprobs, weights: await model.base.floatWeights() }
}

function promptsOf(prompt: CompletionRequest['prompt']): Prompt[] {
  if (typeof prompt === 'string') return [{ text: prompt }]
  if (typeof prompt[0] === 'number') return [{ tokens: prompt as number[] }]
  return (prompt as (string | number[])[]).map((p) => (typeof p === 'string' ? { text: p } : { tokens: p }))
}

/** Answers a completion request with one JSON document. */
export async function answerCompletion(
  model: LocalModel,
  request: CompletionRequest,
  ctx: AnswerContext,
): Promise<CompletionResponse> {
  const completion = await startCompletion(model, request, ctx)
  const made = Array.from({ length: completion.count }, () => ({
    text: '',
    finish: 'stop' as 'stop' | 'length',
    logprobs: [] as PromptLogprob[],
  }))
  for await (const { index, value } of completion.events) {
    const choice = made[index]
    if (choice && (value.type === 'text' || value.type === 'prompt')) {
      choice.text += value.text
      choice.logprobs.push(...(value.logprobs ?? []))
    } else if (choice && value.type === 'end') {
      choice.finish = value.finish
      completion.usage.completion(value.completionTokens)
    }
  }
  return {
    id: `cmpl-${ctx.id}`,
    object: 'text_completion',
    created: unixSeconds(),
    model: request.model,
    choices: made.map(({ text, finish, logprobs }, index) => ({
      index,
      text,
      finish_reason: finish,
      logprobs: typeof request.logprobs === 'number' ? wireLogprobs(logprobs, 0) : null,
    })),
    usage: completion.usage.value,
  }
}

/** Starts a streamed answer; the generator gives its chunks. */
export async function streamCompletion(
  model: LocalModel,
  request: CompletionRequest,
  ctx: AnswerContext,
): Promise<AsyncGenerator<unknown>> {
  return completionChunks(await startCompletion(model, request, ctx), request, ctx.id)
}

async function* completionChunks(
  completion: Completion,
  request: CompletionRequest,
  id: string,
): AsyncGenerator<unknown> {
  const withUsage = request.stream_options?.include_usage === true
  const head = { id: `cmpl-${id}`, object: 'text_completion', created: unixSeconds(), model: request.model }
  const usage = withUsage ? { usage: null } : {}
  const offsets = Array<number>(completion.count).fill(0)
  for await (const { index, value } of completion.events) {
    if (value.type === 'start') continue
    const { text, logprobs: given } = value.type === 'end' ? { text: '', logprobs: undefined } : value
    const logprobs = given ? wireLogprobs(given, offsets[index] ?? 0) : null
    offsets[index] = (offsets[index] ?? 0) + text.length
    if (value.type === 'end') completion.usage.completion(value.completionTokens)
    const finish_reason = value.type === 'end' ? value.finish : null
    yield { ...head, choices: [{ index, text, finish_reason, logprobs }], ...usage }
  }
  if (withUsage) yield { ...head, choices: [], usage: completion.usage.value }
}

// OpenAI's older shape. The token itself is among its alternatives, likely or not; of two that look alike (parts of
// a character) the likelier stays.
function wireLogprobs(logprobs: PromptLogprob[], start: number) {
  let offset = start
  const text_offset = logprobs.map(({ token }) => {
    const at = offset
    offset += token.length
    return at
  })
  const alternatives = ({ token, logprob, top }: PromptLogprob) =>
    logprob === null
      ? null
      : Object.fromEntries([[token, logprob], ...top.toReversed().map((t) => [t.token, t.logprob])])
  return {
    tokens: logprobs.map((l) => l.token),
    token_logprobs: logprobs.map((l) => l.logprob),
    top_logprobs: logprobs.map(alternatives),
    text_offset,
  }
}
