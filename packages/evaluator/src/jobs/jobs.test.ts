// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { type Harness, jsonl, MODEL, startHarness } from '../testing/harness.ts'

let db: Database
let h: Harness

before(async () => {
  db = await openMemoryDatabase()
  h = await startHarness(db)
  h.platform.repos.set('demo/qa', {
    'rows.jsonl': jsonl([
      { question: 'red', expected: 'red' },
      { question: 'green', expected: 'blue' },
      { question: 'no 7', expected: '7' },
    ]),
    'README.md': '# qa',
  })
})
after(async () => {
  await h.close()
  await db.close()
})

const TASK = {
  type: 'chat-completion',
  dataset: { files_url: 'hf://datasets/demo/qa' },
  params: { template: { messages: [{ role: 'user', content: '{{ item.question }}' }], max_tokens: 8 } },
  metrics: {
    check: {
      type: 'string-check',
      params: { check: ['{{ sample.output_text }}', 'contains', '{{ expected }}'] },
    },
    bleu: { type: 'bleu', params: { references: ['{{ item.expected }}'] } },
    f1: { type: 'f1', params: { ground_truth: '{{item.expected}}' } },
  },
}
const CUSTOM = { type: 'custom', tasks: { qa: TASK } }
const TARGET = { type: 'model', model: MODEL }

test('a job asks the model about every row and answers with scores and their statistics', async () => {
  const { job, result } = await h.run({ target: TARGET, config: CUSTOM, namespace: 'demo' })
  assert.equal(job.status, 'completed', JSON.stringify(job.status_details))
  assert.deepEqual(job.status_details, {
    message: 'Job completed successfully.',
    task_status: { qa: 'completed' },
    progress: 100,
    samples_processed: 3,
  })
  const { check, bleu, f1 } = result.tasks.qa.metrics
  assert.equal(check.scores['string-check'].value, 2 / 3)
  assert.equal(check.scores['string-check'].stats.count, 3)
  assert.equal(check.scores['string-check'].stats.sum, 2)
  assert.ok('sentence' in bleu.scores && 'corpus' in bleu.scores)
  assert.equal(Math.round(f1.scores.f1_score.value * 1000), 556)
  assert.equal(result.job, job.id)
  assert.equal(job.result, result.id)
  assert.match(result.id, /^evaluation_result-/)
  assert.equal(h.platform.asked[0]?.url, 'http://model.example/v1/chat/completions')
  assert.equal(h.platform.asked[0]?.authorization, 'Bearer sk-very-secret-1')
  assert.equal(h.platform.asked[0]?.body.max_tokens, 8)
})

test('target and config may be named by objects, with or without their type', async () => {
  const namespace = 'stored'
  await h.call('POST', '/v1/evaluation/targets', { ...TARGET, name: 't', namespace })
  await h.call('POST', '/v1/evaluation/configs', { ...CUSTOM, name: 'c', namespace })
  for (const types of [
    { target: { type: 'model' }, config: { type: 'custom' } },
    { target: {}, config: {} },
  ]) {
    const target = { ...types.target, name: 't', namespace }
    const config = { ...types.config, name: 'c', namespace }
    const { body } = await h.call('POST', '/v1/evaluation/jobs', { target, config })
    assert.equal(body.target.model?.api_endpoint.url, MODEL.api_endpoint.url, JSON.stringify(body))
    assert.deepEqual(Object.keys(body.config.tasks), ['qa'])
    const absent = await h.call('POST', '/v1/evaluation/jobs', { target: { ...target, name: 'x' }, config })
    assert.deepEqual([absent.status, absent.body.code], [404, 'TARGET_NOT_FOUND'])
  }
})

test('a created job answers as the recorded server does', async () => {
  const { status, body } = await h.call('POST', '/v1/evaluation/jobs', { target: TARGET, config: CUSTOM })
  assert.equal(status, 200)
  assert.match(body.id, /^eval-/)
  assert.equal(body.status, 'created')
  assert.deepEqual(body.status_details, { message: null, task_status: {}, progress: null })
  assert.equal(body.target.schema_version, '1.0')
  assert.equal(body.target.type_prefix, 'eval-target')
  assert.equal(body.target.retriever, null)
  assert.equal(body.target.model.api_endpoint.api_key, '******')
  assert.equal(body.config.params, null)
  assert.equal(body.config.tasks.qa.dataset.version_id, 'main')
  assert.deepEqual([body.result, body.namespace, body.custom_fields], [null, 'default', {}])
  await h.waitFor(body.id, 'completed')
})
