// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, it } from 'node:test'
import { parseRankMeasure, rank, rankScore } from './metrics.ts'

interface Case {
  qrel: Record<string, number>
  run: Record<string, number>
  scores: Record<string, number>
}

describe('measures of rankings', async () => {
  // Made by pytrec_eval (trec_eval 9) on random judgements and runs, a third of them with many equal scores.
  const cases: Case[] = JSON.parse(
    await readFile(new URL('./fixture/pytrec-eval.json', import.meta.url), 'utf8'),
  )

  for (const name of Object.keys(cases[0]?.scores ?? {})) {
    it(`${name} is what trec_eval says`, () => {
      const measure = parseRankMeasure(name)
      assert.ok(measure)
      for (const { qrel, run, scores } of cases) {
        const value = rankScore(measure, rank(Object.entries(run)), new Map(Object.entries(qrel)))
        // trec_eval keeps its measures as floats of the C language.
        assert.ok(Math.abs(value - (scores[name] ?? Number.NaN)) < 1e-6, `${value} is not ${scores[name]}`)
      }
    })
  }

  it('takes the spellings of others, and refuses what it does not know', () => {
    assert.deepEqual(parseRankMeasure('retriever.recall_5'), { name: 'recall_5', kind: 'recall', k: 5 })
    assert.deepEqual(parseRankMeasure('ndcg@10'), { name: 'ndcg@10', kind: 'ndcg', k: 10 })
    assert.deepEqual(parseRankMeasure('mrr'), { name: 'mrr', kind: 'mrr' })
    for (const name of ['recall', 'recall_0', 'precision', 'faithfulness', 'ndcg_cut_x', '']) {
      assert.equal(parseRankMeasure(name), undefined, name)
    }
  })
})
