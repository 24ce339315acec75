// SPDX-License-Identifier: Apache-2.0
import type { JailbreakConfig } from '@open-nemo/contract/guardrails/config-data.ts'
import { mainEndpoint } from '../engine/ask.ts'
import type { RailCall } from '../engine/compiled.ts'
import { operationUrl, postJson } from '../models/client.ts'
import { JudgeError } from './judge.ts'

/** Characters that are scored; a model's context holds no more, and the ends are scored on their own. */
const MAX_SCORED = 6000

/**
 * The perplexity of a text: by the injected scorer, else by the log-probabilities that the completions API of
 * the main model (or `perplexity_model`) echoes.
 */
export async function perplexityOf(call: RailCall, config: JailbreakConfig, text: string): Promise<number> {
  const { turn, signal } = call
  const scored = text.slice(0, MAX_SCORED)
  if (turn.services.perplexity) return turn.services.perplexity(scored, signal)
  const endpoint = mainEndpoint(turn)
  const model = config.perplexity_model ?? endpoint.name ?? turn.model
  if (!model) throw new JudgeError('there is no model to score with')
  const response = await postJson({
    url: operationUrl(endpoint.url, '/completions'),
    model,
    body: { model, prompt: scored, max_tokens: 1, temperature: 0, echo: true, logprobs: 1 },
    key: turn.modelKey ?? endpoint.key,
    signal,
    fetch: turn.services.fetch,
  })
  return perplexity(promptLogprobs(await response.json().catch(() => undefined), scored.length))
}

/** Log-probabilities of the prompt's tokens in a completion with `echo`, without what was generated after it. */
export function promptLogprobs(answer: unknown, promptLength: number): number[] {
  const logprobs = (answer as { choices?: { logprobs?: Record<string, unknown> }[] })?.choices?.[0]?.logprobs
  const values = logprobs?.token_logprobs
  if (!Array.isArray(values)) throw new JudgeError('the model gives no log-probabilities of the prompt')
  const offsets = Array.isArray(logprobs?.text_offset) ? logprobs.text_offset : []
  return values.filter(
    (v, i): v is number =>
      typeof v === 'number' && (offsets[i] === undefined || Number(offsets[i]) < promptLength),
  )
}

/** exp of the mean negative log-probability; Infinity for a text without a scored token. */
export function perplexity(logprobs: number[]): number {
  if (logprobs.length === 0) return Number.POSITIVE_INFINITY
  return Math.exp(-logprobs.reduce((sum, v) => sum + v, 0) / logprobs.length)
}
