// SPDX-License-Identifier: Apache-2.0
import { type LlamaModel, type LlamaRankingContext, LlamaVocabularyType } from 'node-llama-cpp'
import type { LoadOptions, ToWorker } from '../protocol.ts'
import { EngineError, type RankRequest } from '../types.ts'
import { livesWithParent, loadWhole, send } from './whole-inputs.ts'

// The process that ranks.
livesWithParent()

let loaded: { context: LlamaRankingContext; limit: number } | undefined
const running = new Set<number>()

process.on('message', (message: ToWorker) => {
  if (message.t === 'load') void load(message.options)
  else if (message.t === 'rank') void rank(message.id, message.request)
  else if (message.t === 'abort') running.delete(message.id)
})

async function load(options: LoadOptions): Promise<void> {
  await loadWhole(options, async (model) => {
    // One more than the longest input, which the engine wants free, and all of it in one batch, which pooling needs.
    const room = options.contextSize + 2
    const { threads } = options
    const context = await model.createRankingContext({
      contextSize: room,
      batchSize: room,
      threads,
      template: pairTemplate(model),
    })
    loaded = { context, limit: options.contextSize }
  })
}

/** BERT has one separator between the two texts where others have two; a template of the file's own is used. */
function pairTemplate({ vocabularyType, tokens, fileInfo }: LlamaModel) {
  if (vocabularyType !== LlamaVocabularyType.wpm) return undefined
  if (fileInfo.metadata.tokenizer?.['chat_template.rerank']) return undefined
  const { bosString, sepString } = tokens
  return `${bosString}{{query}}${sepString}{{document}}${sepString}` as const
}

async function rank(id: number, { query, passages, truncate }: RankRequest): Promise<void> {
  running.add(id)
  try {
    if (!loaded) throw new EngineError('loading', 'the model is not loaded')
    const { context, limit } = loaded
    const asked = tokensOf(context, query)
    // All lengths are looked at before the first passage is scored.
    const inputs = passages.map((passage, index) => {
      const tokens = tokensOf(context, passage)
      const length = context.calculateInputLength(asked, tokens)
      const over = Math.max(0, length - limit)
      if (over > 0 && (!truncate || over >= tokens.length)) {
        throw new EngineError('input_too_long', 'too long', { index, tokens: length, limit })
      }
      return { tokens: tokens.slice(0, tokens.length - over), length: length - over }
    })
    const logits: number[] = []
    for (const { tokens } of inputs) {
      const probability = await context.rank(asked, tokens)
      if (!running.has(id)) return
      logits.push(logit(probability))
    }
    const tokens = inputs.reduce((sum, { length }) => sum + length, 0)
    send({ t: 'event', id, event: { type: 'ranked', value: { logits, tokens } } })
  } catch (err) {
    const message = err instanceof Error ? err.message : String(err)
    const { code, details } = err instanceof EngineError ? err : { code: 'internal' as const, details: {} }
    send({ t: 'error', id, code, message, details })
  } finally {
    running.delete(id)
  }
}

/** Names of control tokens in a text are text. */
const tokensOf = ({ model }: LlamaRankingContext, text: string) =>
  model.tokenize(text, false, 'trimLeadingSpace')

/** The engine gives probabilities; the score that the model computed is the logit, and JSON has no infinity. */
function logit(probability: number): number {
  const inside = Math.min(1 - Number.EPSILON / 2, Math.max(Number.MIN_VALUE, probability))
  return Math.log(inside) - Math.log1p(-inside)
}
