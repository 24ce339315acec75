// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { newRepo } from '../testing/fake-platform.ts'
import { EMBEDDER, type Harness, jsonl, startHarness } from '../testing/harness.ts'

let db: Database
let harness: Harness
before(async () => {
  db = await openMemoryDatabase()
})
afterEach(() => harness.close())
after(() => db.close())

const ROW = { query: 'q', pos_doc: 'p', neg_doc: ['n'] }
const job = (change: Record<string, unknown> = {}) =>
  harness.createJob({
    config: EMBEDDER,
    dataset: 'demo/texts',
    hyperparameters: { finetuning_type: 'all_weights' },
    ...change,
  })
const hold = (rows: unknown[]) =>
  harness.platform.repos.set('dataset/demo/texts', newRepo({ 'training/t.jsonl': jsonl(rows) }))

test('the trainer is told that it is an embedding model, and the entity is a whole model', async () => {
  harness = await startHarness(db, { env: { FAKE_STEP_MS: '80' } })
  hold([ROW, { ...ROW, neg_doc: [] }])
  const dataset_parameters = { num_hard_negatives: 3, negative_sample_strategy: 'random' }
  const id = await job({ output_model: 'demo/embedder@v1', dataset_parameters })
  await harness.waitFor(id, 'running')
  const spec = JSON.parse(await readFile(join(harness.dataDir, 'jobs', id, 'job.json'), 'utf8'))
  assert.deepEqual([spec.task, spec.dataset_parameters], ['embedding', dataset_parameters])
  const done = await harness.waitFor(id, 'completed')
  assert.deepEqual(done.dataset_parameters, dataset_parameters)
  const entity = harness.platform.entities.get('models/demo/embedder@v1') as Record<string, unknown>
  assert.deepEqual([entity.base_model, 'peft' in entity], ['acme/embedder', false])
  assert.equal((entity.artifact as { precision: string }).precision, 'fp32')
  assert.ok(harness.platform.repos.get('model/demo/embedder')?.files['model.safetensors'])
})

test('a row that cannot be used fails the job with file, line and field, before anything is trained', async () => {
  harness = await startHarness(db)
  hold([ROW, { ...ROW, neg_doc: ['n', 5] }])
  const { status_details } = await harness.waitFor(await job(), 'failed')
  assert.match(
    JSON.stringify(status_details.status_logs),
    /training\/t\.jsonl, line 2: neg_doc\[1\] is not a text with something in it/,
  )
})
