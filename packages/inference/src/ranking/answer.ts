// SPDX-License-Identifier: Apache-2.0
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import type { RankingRequest, RankingResponse } from '@open-nemo/contract/inference/schemas.ts'
import type { InferenceConfig } from '../config.ts'
import { EngineError } from '../engine/types.ts'
import { toApiError } from '../openai/generation.ts'
import type { Ranker } from './rankers.ts'

/** Answers a ranking request: the passages' indices and scores, the best first. */
export async function answerRanking(
  name: string,
  ranker: Ranker,
  request: RankingRequest,
  config: InferenceConfig,
  signal: AbortSignal,
): Promise<RankingResponse> {
  const leave = ranker.enter()
  if (!leave) {
    throw errors.ENGINE_BUSY({ model: name, waiting: config.NEMO_ENGINE_QUEUE }).with({ 'retry-after': '2' })
  }
  try {
    await ranker.engine.ready(config.NEMO_LOAD_WAIT * 1000)
    const { logits, tokens } = await ranker.engine.rank(
      {
        query: request.query.text,
        passages: request.passages.map(({ text }) => text),
        truncate: request.truncate === 'END',
      },
      signal,
    )
    return {
      rankings: logits.map((logit, index) => ({ index, logit })).sort((a, b) => b.logit - a.logit),
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    }
  } catch (err) {
    if (err instanceof EngineError && err.code === 'input_too_long') {
      const { index, tokens, limit } = err.details
      throw errors.PASSAGE_TOO_LONG({ model: name, index, tokens, limit, field: `passages.${index}.text` })
    }
    throw toApiError(err, name)
  } finally {
    leave()
  }
}
