// SPDX-License-Identifier: Apache-2.0
import type { ControlledEvaluateInputItem, LlamaContextSequence, LlamaModel, Token } from 'node-llama-cpp'
import type { PromptLogprob, TokenLogprob } from '../types.ts'
import { TokenDecoder } from './text-stream.ts'

/** Chooses the likeliest token and leaves the logits as the model made them. */
const RAW = { temperature: 0, topK: 0, topP: 1, minP: 0 }
/** Tokens evaluated at a time, so that an abort is noticed between them. */
const STRIDE = 256

/**
 * Evaluates all tokens but the last into an empty sequence, and gives the log-probability of each token after those
 * before it. The natural logarithm of the softmax over the whole vocabulary, by the logits as they are.
 */
export async function promptLogprobs(
  model: LlamaModel,
  sequence: LlamaContextSequence,
  tokens: Token[],
  top: number,
  signal: AbortSignal,
): Promise<PromptLogprob[]> {
  const decoder = new TokenDecoder<Token>((some, before) => model.detokenize(some, true, before))
  const [first] = tokens
  const scored: PromptLogprob[] =
    first === undefined ? [] : [{ token: decoder.push(first), logprob: null, top: [] }]
  for (let from = 0; from < tokens.length - 1; from += STRIDE) {
    signal.throwIfAborted()
    const to = Math.min(from + STRIDE, tokens.length - 1)
    const input = tokens.slice(from, to).map((token, i) => scoring(token, tokens[from + i + 1] ?? token, top))
    const output = await sequence.controlledEvaluate(input)
    for (const [i, result] of output.entries()) {
      const next = tokens[from + i + 1]
      const { logits, totalLogitWeight } = result?.next ?? {}
      if (next === undefined || !logits || totalLogitWeight === undefined)
        throw new Error('the engine gave no logits')
      const { logprob, best } = logSoftmax(logits, totalLogitWeight, next, top)
      const alternatives = best.map(([token, value]) => ({
        token: model.detokenize([token], true),
        logprob: value,
      }))
      scored.push({ token: decoder.push(next), logprob, top: alternatives })
    }
  }
  const rest = decoder.flush()
  const last = scored.at(-1)
  if (last) last.token += rest
  return scored
}

// Sorting a whole vocabulary takes longer than a small model's layers: more than the likeliest token only when asked for.
function scoring(token: Token, next: Token, top: number): ControlledEvaluateInputItem {
  const filter = { tokens: [next], includeSelected: true, ...(top > 1 ? { includeTop: top } : {}) }
  return [token, { generateNext: { logits: { filter }, totalLogitWeight: true, options: RAW } }]
}

/** Log-probabilities from some logits, the largest among them, and the sum of exp(logit - largest) over all tokens. */
export function logSoftmax(
  logits: Map<Token, number>,
  totalWeight: number,
  of: Token,
  top: number,
): { logprob: number; best: [Token, number][] } {
  const sorted = [...logits].sort(([, a], [, b]) => b - a)
  const norm = (sorted[0]?.[1] ?? 0) + Math.log(totalWeight)
  const best = sorted.slice(0, top).map(([token, logit]): [Token, number] => [token, logit - norm])
  return { logprob: (logits.get(of) ?? Number.NEGATIVE_INFINITY) - norm, best }
}

/**
 * The log-probability of a generated token by the model, among the tokens that top-k, top-p and min-p left: what the
 * temperature did to the probabilities that it was drawn by is undone.
 */
export function generatedLogprob(
  model: LlamaModel,
  token: Token,
  probabilities: Map<Token, number>,
  temperature: number,
  top: number,
): TokenLogprob {
  const power = temperature > 0 ? temperature : 1
  let sum = 0
  for (const p of probabilities.values()) sum += p ** power
  const log = (p: number | undefined) => (p ? power * Math.log(p) - Math.log(sum) : -9999)
  const text = (t: Token) => model.detokenize([t], true)
  const best: TokenLogprob['top'] = []
  for (const [other, p] of probabilities) {
    if (best.length >= top) break
    best.push({ token: text(other), logprob: log(p) })
  }
  return { token: text(token), logprob: log(probabilities.get(token)), top: best }
}
