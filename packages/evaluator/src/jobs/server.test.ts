// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openServer, silentLogger } from '@open-nemo/runtime'
import { findPostgres, startTestServer } from '@open-nemo/runtime/database/testing.ts'
import { jsonl, MODEL, startHarness } from '../testing/harness.ts'

const bin = findPostgres()

test('a PostgreSQL server does as the embedded one, also with text that it does not take', {
  skip: bin ? false : 'no PostgreSQL server is installed',
}, async () => {
  const server = await startTestServer(bin ?? '')
  const db = openServer(server.dsn, { log: silentLogger() })
  const h = await startHarness(db)
  try {
    const rows = Array.from({ length: 30 }, (_, n) => ({ q: `q\0 \ud800 ${n}`, a: `q\0 \ud800 ${n}` }))
    h.platform.repos.set('demo/rows', { 'rows.jsonl': jsonl(rows) })
    const metric = { type: 'accuracy', params: { ground_truth: '{{a}}' } }
    const template = { messages: [{ role: 'user', content: '{{q}}' }] }
    const task = {
      type: 'chat-completion',
      dataset: 'hf://datasets/demo/rows',
      params: { template },
      metrics: { m: metric },
    }
    const config = { type: 'custom', tasks: { t: task } }
    const { job, result } = await h.run({ target: { type: 'model', model: MODEL }, config })
    assert.equal(job.status, 'completed', JSON.stringify(job.status_details))
    assert.equal(result.tasks.t.metrics.m.scores.accuracy.value, 1)
    const artifact = [
      'INSERT INTO evaluator.artifacts (job, path, content) VALUES ($1, $2, $3)',
      [job.id, 'x', Buffer.from([1])],
    ] as const
    await db.query(artifact[0], [...artifact[1]])
    assert.ok((await h.download(`/v1/evaluation/jobs/${job.id}/download-results`)).length > 1000)
    const filters =
      'filter[status]=completed&filter[target][type]=model&search[config]=custom&filter[created_at][gte]=2020'
    assert.equal(
      (await h.call('GET', `/v1/evaluation/jobs?${filters}-01-01`)).body.pagination.total_results,
      1,
    )
    assert.equal((await h.call('GET', `/v1/evaluation/results?filter[job_id]=${job.id}`)).body.data.length, 1)
  } finally {
    await h.close()
    await db.close()
    await server.stop()
  }
})
