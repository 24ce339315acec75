// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { type Harness, MODEL, startHarness } from '../testing/harness.ts'

let db: Database
let h: Harness
const JOBS = '/v1/evaluation/jobs'
const LIVE = '/v1/evaluation/live'

before(async () => {
  db = await openMemoryDatabase()
  h = await startHarness(db)
  h.platform.repos.set('demo/rows', { 'rows.jsonl': '{"a":"x"}\n' })
  h.platform.repos.set('demo/none', { 'README.md': '' })
})
after(async () => {
  await h.close()
  await db.close()
})

const ROWS = { type: 'rows', rows: [{ some_output: 'yes', expected: 'yes', score: 'SCORE: 3' }] }
const CHECK = { type: 'string-check', params: { check: ['{{some_output}}', 'contains', '{{expected}}'] } }
const data = (metrics: Record<string, unknown>) => ({
  type: 'custom',
  tasks: { qa: { type: 'data', metrics } },
})
const chat = (change: Record<string, unknown>) => ({
  type: 'custom',
  tasks: {
    qa: { type: 'chat-completion', dataset: 'hf://datasets/demo/rows', metrics: { c: CHECK }, ...change },
  },
})

test('what cannot run is refused when the job is created, with the reason', async () => {
  const model = { type: 'model', model: MODEL }
  const cases: [unknown, unknown, number, RegExp][] = [
    [{ type: 'humaneval' }, model, 400, /UNSUPPORTED_EVALUATION.*|runs code that a model wrote/],
    [{ type: 'bfclv3_ast_multiple' }, model, 400, /BFCL suites/],
    [{ type: 'simpleqa' }, model, 400, /simple-evals harness/],
    [{ type: 'aegis_v2' }, model, 400, /gated guard models/],
    [{ type: 'no-such-type' }, model, 400, /not a type that is known/],
    [chat({ type: 'prompt-optimization' }), model, 400, /UNSUPPORTED_TASK|not optimized here/],
    [{ type: 'custom' }, model, 400, /there is no task/],
    [chat({ metrics: {} }), model, 400, /there is no metric/],
    [chat({ metrics: { m: { type: 'colour' } } }), model, 400, /UNSUPPORTED_METRIC/],
    [
      chat({ metrics: { m: { type: 'string-check', params: { check: ['a', 'like', 'b'] } } } }),
      model,
      400,
      /operator/,
    ],
    [chat({ metrics: { m: { type: 'bleu' } } }), model, 400, /params\.references is missing/],
    [
      chat({ metrics: { m: { type: 'llm-judge', params: { model: MODEL } } } }),
      model,
      400,
      /params\.template is missing/,
    ],
    [chat({ params: { template: { messages: '{{ item.' } } }), model, 400, /cannot be used/],
    [chat({ dataset: 'hf://datasets/demo/absent' }), model, 404, /DATASET_NOT_FOUND/],
    [chat({ dataset: 'hf://datasets/demo/none' }), model, 400, /no \.json, \.jsonl or \.csv file/],
    [chat({ dataset: null }), model, 400, /dataset is missing/],
    [chat({}), { type: 'model', model: 'no/such-model' }, 404, /MODEL_NOT_FOUND/],
    [chat({}), 'no/target', 404, /TARGET_NOT_FOUND/],
    ['no/config', model, 404, /CONFIG_NOT_FOUND/],
    [data({ c: CHECK }), model, 400, /UNSUPPORTED_TARGET/],
    [
      { type: 'similarity_metrics', tasks: { t: { type: 'x', metrics: { m: { type: 'llm-judge' } } } } },
      ROWS,
      400,
      /UNSUPPORTED_METRIC/,
    ],
  ]
  for (const [config, target, status, pattern] of cases) {
    const answer = await h.call('POST', JOBS, { config, target })
    assert.equal(answer.status, status, JSON.stringify(answer.body))
    assert.match(JSON.stringify(answer.body), pattern)
  }
  assert.equal((await h.call('GET', JOBS)).body.pagination.total_results, 0)
})

test('a live evaluation answers at once and stores nothing', async () => {
  const { status, body } = await h.call('POST', LIVE, { config: data({ accuracy: CHECK }), target: ROWS })
  assert.equal(status, 200)
  assert.equal(body.status, 'completed')
  const score = body.result.tasks.qa.metrics.accuracy.scores['string-check']
  assert.deepEqual([score.value, score.stats.count, score.stats.sum], [1, 1, 1])
  assert.match(body.result.job, /^eval-/)
  assert.match(body.result.id, /^evaluation_result-/)
  assert.deepEqual(body.status_details.task_status, { qa: 'completed' })
  for (const path of [JOBS, '/v1/evaluation/results', '/v1/evaluation/targets', '/v1/evaluation/configs']) {
    assert.equal((await h.call('GET', path)).body.pagination.total_results, 0, path)
  }
})

test('a judge works live as well, with its own prompt and parser', async () => {
  h.platform.answer = ({ body }) => (body.model === 'm' ? String(body.messages.at(-1).content) : 'none')
  const judge = {
    type: 'llm-judge',
    params: {
      model: MODEL,
      template: { messages: [{ role: 'user', content: '{{score}}' }] },
      scores: { correct: { type: 'int', parser: { type: 'regex', pattern: 'SCORE: (\\d)' } } },
    },
  }
  h.platform.asked.length = 0
  const { body } = await h.call('POST', LIVE, { config: data({ likert: judge }), target: ROWS })
  assert.equal(body.result?.tasks.qa.metrics.likert.scores.correct.value, 3, JSON.stringify(body))
  assert.equal(h.platform.asked[0]?.body.max_tokens, 1024)
  assert.doesNotMatch(JSON.stringify(body), /sk-very-secret-1/)
})

test('live evaluation refuses what would take long, and tells of rows that cannot be evaluated', async () => {
  const refused = await h.call('POST', LIVE, { config: chat({}), target: { type: 'model', model: MODEL } })
  assert.deepEqual([refused.status, refused.body.code], [400, 'LIVE_UNSUPPORTED'])
  const other = await h.call('POST', LIVE, { config: chat({}), target: ROWS })
  assert.equal(other.body.code, 'LIVE_UNSUPPORTED')
  const hostile = {
    type: 'string-check',
    params: { check: ['{% for i in range(99999999) %}x{% endfor %}', 'equals', ''] },
  }
  const { body } = await h.call('POST', LIVE, { config: data({ hostile }), target: ROWS })
  assert.equal(body.status, 'failed')
  assert.match(body.status_details.message, /takes longer than|more than|longer than/)
  assert.equal(body.result, null)
})

test('similarity metrics stand by task and together in a group', async () => {
  const rows = [
    { input: 'q', reference: 'the red fox', output: 'red fox' },
    { input: 'q', reference: 'a dog', output: 'a cat' },
  ]
  const metrics = Object.fromEntries(
    ['accuracy', 'bleu', 'rouge', 'em', 'f1'].map((type) => [type, { type }]),
  )
  const config = { type: 'similarity_metrics', tasks: { t: { type: 'default', metrics } } }
  const { result } = await h.run({ target: { type: 'rows', rows }, config })
  const { scores } = result.groups.evaluation.metrics.evaluation
  assert.deepEqual(Object.keys(scores).sort(), [
    'accuracy',
    'bleu_score',
    'em',
    'em_score',
    'f1',
    'f1_score',
    'rouge_1_score',
    'rouge_2_score',
    'rouge_3_score',
    'rouge_L_score',
  ])
  assert.deepEqual([scores.accuracy.value, scores.em.value, scores.f1.value], [0, 0.5, 0.5])
  assert.equal(result.tasks.t.metrics.em.scores.em_score.value, 0.5)
})
