// SPDX-License-Identifier: Apache-2.0
import type { ApiError } from '@open-nemo/contract'
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import type { UsageInfo } from '@open-nemo/contract/inference/schemas.ts'
import type { InferenceConfig } from '../config.ts'
import { EngineError, type GenerateEvent, type GenerateRequest, type LoadedModel } from '../engine/types.ts'
import type { Served } from '../models/served-models.ts'

export type LocalModel = Served & { kind: 'local' }

/** A loaded model and how to report errors about it. */
export interface Target {
  name: string
  loaded: LoadedModel
  generate(request: Omit<GenerateRequest, 'adapter'>, signal: AbortSignal): AsyncGenerator<GenerateEvent>
}

/** Waits until the model can answer, at most `waitMs`. `field` is where requests have their prompt. Throws MODEL_LOADING. */
export async function targetOf(
  model: LocalModel,
  { waitMs, field }: { waitMs: number; field: 'messages' | 'prompt' },
): Promise<Target> {
  const { name, base, adapter } = model
  let loaded: LoadedModel
  try {
    loaded = await base.engine.ready(waitMs)
  } catch (err) {
    throw toApiError(err, name)
  }
  return {
    name,
    loaded,
    async *generate(request, signal) {
      try {
        yield* base.engine.generate({ ...request, adapter }, signal)
      } catch (err) {
        throw toApiError(err, name, { loaded, field })
      }
    },
  }
}

/** Refuses what even an idle engine could not take: told to try again, a client would do so for ever. */
export function checkAnswers(
  { name, loaded }: Target,
  config: InferenceConfig,
  { count, field }: { count: number; field: string },
): void {
  const most = loaded.sequences + config.NEMO_ENGINE_QUEUE
  if (count > most) throw errors.TOO_MANY_ANSWERS({ count, model: name, most, field })
}

/** The API error of an engine's failure, at the field that has the prompt; everything else is given back as it is. */
export function toApiError(
  err: unknown,
  model: string,
  { loaded, field }: { loaded?: LoadedModel; field?: 'messages' | 'prompt' | 'tokens' } = {},
): unknown {
  if (!(err instanceof EngineError)) return err
  const retry = (e: ApiError) => e.with({ 'retry-after': '2' })
  switch (err.code) {
    case 'loading':
      return retry(errors.MODEL_LOADING({ model, progress: err.message }, { cause: err }))
    case 'crashed':
      return retry(errors.ENGINE_ENDED({ reason: err.message }, { cause: err }))
    case 'busy':
      return retry(errors.ENGINE_BUSY({ model, waiting: err.details.waiting }))
    case 'stopped':
      return retry(errors.SERVICE_STOPPING())
    case 'context_overflow':
      return errors.CONTEXT_LENGTH_EXCEEDED({
        model,
        prompt_tokens: err.details.promptTokens,
        context_size: err.details.contextSize,
        trained_size: loaded?.trainContextSize,
        field,
      })
    case 'empty_prompt':
    case 'bad_token':
      return errors.PROMPT_REFUSED({ reason: err.message, field })
    case 'bad_grammar':
      return errors.SCHEMA_NOT_SUPPORTED({ field: 'response_format or tools', reason: err.message })
    case 'adapter_failed':
      return errors.ADAPTER_NOT_SERVABLE({ model, reason: err.message, base: 'before' })
    default:
      return err
  }
}

/** Starts several generations at once and waits until each has been accepted, so that errors come as a status. */
export async function startAll(
  streams: AsyncGenerator<GenerateEvent>[],
): Promise<{ promptTokens: number; cachedTokens: number; events: AsyncGenerator<GenerateEvent> }[]> {
  const firsts = await Promise.allSettled(streams.map((s) => s.next()))
  const refused = firsts.find((f) => f.status === 'rejected')
  if (refused) {
    await Promise.allSettled(streams.map((s) => s.return(undefined)))
    throw refused.reason
  }
  return streams.map((events, i) => {
    const first = firsts[i]
    const start = first?.status === 'fulfilled' ? first.value.value : undefined
    if (start?.type !== 'start') throw new Error('the engine did not begin with a start event')
    return { ...start, events }
  })
}

/** Token counts of a request; a prompt is counted once however many answers it has. */
export class Usage {
  #prompt = 0
  #cached = 0
  #completion = 0

  prompt(tokens: number, cached: number): void {
    this.#prompt += tokens
    this.#cached += cached
  }

  completion(tokens: number): void {
    this.#completion += tokens
  }

  get value(): UsageInfo {
    return {
      prompt_tokens: this.#prompt,
      completion_tokens: this.#completion,
      total_tokens: this.#prompt + this.#completion,
      prompt_tokens_details: { cached_tokens: this.#cached },
    }
  }
}

/** Takes what several generators give as it comes; `index` says whose it is. Ends the others when one fails. */
export async function* merged<T>(
  generators: AsyncGenerator<T>[],
): AsyncGenerator<{ index: number; value: T }> {
  const next = (index: number, generator: AsyncGenerator<T>) =>
    generator.next().then((result) => ({ index, generator, result }))
  const pending = new Map(generators.map((g, i) => [i, next(i, g)]))
  try {
    while (pending.size > 0) {
      const { index, generator, result } = await Promise.race(pending.values())
      if (result.done) pending.delete(index)
      else {
        pending.set(index, next(index, generator))
        yield { index, value: result.value }
      }
    }
  } finally {
    for (const p of pending.values()) p.catch(() => undefined)
    await Promise.allSettled([...pending.keys()].map((i) => generators[i]?.return(undefined)))
  }
}
