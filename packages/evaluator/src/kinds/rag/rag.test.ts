// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import type { ModelRequest } from '../../testing/fake-platform.ts'
import { type Harness, jsonl, startHarness } from '../../testing/harness.ts'

const judge = { api_endpoint: { url: 'http://judge.example/v1', model_id: 'j', api_key: 'sk-secret-j' } }
const ROWS = [
  {
    user_input: 'Where is Paris?',
    response: 'Paris is in France. It is made of cheese.',
    retrieved_contexts: ['Berlin is in Germany.', 'Paris is in France.'],
    reference: 'Paris is in France.',
  },
]

/** A judge that knows about Paris, and answers the way models do: with prose around the JSON. */
function answer({ url, body }: ModelRequest): Response | string {
  if (url.endsWith('/embeddings')) {
    const data = body.input.map((text: string, index: number) => ({
      index,
      embedding: [text.includes('Paris') ? 1 : 0, 1],
    }))
    return Response.json({ data })
  }
  const question: string = body.messages.at(-1).content
  if (/short statements/.test(question))
    return 'Sure: {"statements": ["Paris is in France.", "Paris is made of cheese."]} done'
  if (/follows from the context/.test(question))
    return '```json\n{"verdicts": [{"verdict": 1}, {"verdict": "0"}]}\n```'
  if (/questions that the answer/.test(question))
    return '{"questions": [{"question": "Where is Paris?"}, {"question": "What?"}]}'
  if (/useful to arrive/.test(question))
    return JSON.stringify({ verdict: question.includes('Context: Paris') })
  if (/attributed to the context/.test(question))
    return '{"classifications": [{"statement": "x", "attributed": 1}]}'
  if (/Rate how far/.test(question)) return '{"rating": 2}'
  return 'no JSON at all'
}

describe('RAG evaluations', () => {
  let db: Database
  let harness: Harness
  before(async () => {
    db = await openMemoryDatabase()
    harness = await startHarness(db)
    harness.platform.answer = answer
    harness.platform.repos.set('team/answers', { 'rows.jsonl': jsonl(ROWS) })
  })
  after(async () => {
    await harness.close()
    await db.close()
  })

  const params = { judge_llm: judge, judge_embeddings: judge, judge_max_retries: 1, judge_timeout: 5 }
  const job = (types: string[], taskParams: Record<string, unknown> = params) => ({
    target: { type: 'rag', rag: { cached_outputs: { files_url: 'hf://datasets/team/answers' } } },
    config: {
      type: 'rag',
      tasks: {
        judged: {
          type: 'ragas',
          params: taskParams,
          metrics: Object.fromEntries(types.map((type) => [type, { type }])),
        },
      },
    },
  })

  it('judges cached outputs', async () => {
    const types = [
      'faithfulness',
      'answer_relevancy',
      'context_precision',
      'context_recall',
      'answer_accuracy',
    ]
    const { result } = await harness.run(job(types))
    const value = (name: string) => result.tasks.judged.metrics[`rag.${name}`].scores[name].value
    assert.equal(value('faithfulness'), 0.5)
    // One of the two guessed questions has the asked one's vector, the other is at 45 degrees.
    assert.ok(Math.abs(value('answer_relevancy') - (1 + Math.SQRT1_2) / 2) < 1e-9)
    // The useful context stands second.
    assert.equal(value('context_precision'), 0.5)
    assert.equal(value('context_recall'), 1)
    assert.equal(value('answer_accuracy'), 0.5)
    assert.equal(result.groups.evaluation.metrics.evaluation.scores.faithfulness.value, 0.5)
    const { body } = await harness.call('GET', `/v1/evaluation/jobs/${result.job.split('/').pop()}`)
    assert.doesNotMatch(JSON.stringify([result, body]), /sk-secret/)
  })

  it('takes recorded answers as a data set or as cached outputs of the target itself', async () => {
    const set = { files_url: 'hf://datasets/team/answers' }
    for (const target of [
      { type: 'dataset', dataset: set },
      { type: 'cached_outputs', cached_outputs: set },
    ]) {
      const { result } = await harness.run({ ...job(['faithfulness']), target })
      assert.equal(result.tasks.judged.metrics['rag.faithfulness'].scores.faithfulness.value, 0.5)
    }
  })

  it('reports a sample whose judge cannot be read, after the retries', async () => {
    harness.platform.answer = ({ body }) =>
      body.messages ? 'I would rather not say.' : Response.json({ data: [] })
    const before = harness.platform.asked.length
    const id = await harness.createJob(job(['context_recall']))
    await harness.waitFor(id, 'completed', 'failed')
    assert.equal(harness.platform.asked.length - before, 2)
    assert.match(harness.platform.asked.at(-1)?.body.messages[0].content, /could not be read/)
    harness.platform.answer = answer
  })

  it('refuses at creation a judge, a metric or a pipeline that is not there', async () => {
    const cases: [unknown, RegExp][] = [
      [job(['faithfulness'], {}), /judge_llm/],
      [job(['answer_relevancy'], { judge_llm: judge }), /judge_embeddings/],
      [job(['recall_5']), /needs a retriever pipeline/],
      [job(['telepathy']), /telepathy/],
    ]
    for (const [body, message] of cases) {
      const { status, body: said } = await harness.call('POST', '/v1/evaluation/jobs', body)
      assert.equal(status, 400)
      assert.match(JSON.stringify(said), message)
    }
  })
})
