// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { tracedFetch } from '@open-nemo/runtime/telemetry/http-spans.ts'
import { recordTraces, type SeenTraces } from '@open-nemo/runtime/testing/traces.ts'
import { createFakePlatform, type FakePlatform } from '../testing/fake-platform.ts'
import { type Harness, jsonl, MODEL, startHarness } from '../testing/harness.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const CALLER = 'b7ad6b7169203331'
const SECRET = MODEL.api_endpoint.api_key
let db: Database
let h: Harness
let traces: SeenTraces
/** The traceparent of each request to the model. */
const told: (string | null)[] = []

before(async () => {
  traces = await recordTraces()
  db = await openMemoryDatabase()
  h = await startHarness(db, { platform: listening(createFakePlatform()) })
  h.platform.repos.set('demo/rows', { 'rows.jsonl': jsonl([{ q: 'a' }, { q: 'b' }, { q: 'c' }]) })
})
after(async () => {
  await h.close()
  await db.close()
  await traces.stop()
})

/** The platform behind the fetch that services are given. */
function listening(platform: FakePlatform): FakePlatform {
  const inner = platform.fetch
  platform.fetch = tracedFetch(async (input, init) => {
    if (String(input).startsWith('http://model.example'))
      told.push(new Headers(init?.headers).get('traceparent'))
    return await inner(input, init)
  })
  return platform
}

const JOB = {
  target: { type: 'model', model: MODEL },
  config: {
    type: 'custom',
    params: { parallelism: 1, max_retries: 1 },
    tasks: {
      qa: {
        type: 'chat-completion',
        dataset: { files_url: 'hf://datasets/demo/rows' },
        params: { template: { messages: [{ role: 'user', content: '{{item.q}}' }] } },
        metrics: {
          same: {
            type: 'string-check',
            params: { check: ['{{sample.output_text}}', 'equals', '{{item.q}}'] },
          },
        },
      },
    },
  },
}

async function run(): Promise<string> {
  told.length = 0
  const response = await h.service.app.request('/v1/evaluation/jobs', {
    method: 'POST',
    headers: { traceparent: `00-${TRACE}-${CALLER}-01` },
    body: JSON.stringify(JOB),
  })
  const { id } = (await response.json()) as { id: string }
  return (await h.waitFor(id, 'completed', 'failed')).status
}

test('a job is in the trace of its request, down to what the endpoint under test is told', async () => {
  let throttled = 0
  h.platform.answer = ({ body }) => {
    const said = body.messages[0].content
    if (said === 'b' && throttled++ === 0)
      return new Response('slow down', { status: 429, headers: { 'retry-after': '0' } })
    return said
  }
  assert.equal(await run(), 'completed')
  const spans = await traces.ended((span) => span.name === 'evaluation job')
  const job = spans.find((span) => span.name === 'evaluation job')
  assert.equal(job?.attributes['nemo.status'], 'completed')
  const asked = spans.filter((span) => span.name === 'chat/completions m')
  assert.deepEqual(asked.map((span) => span.attributes['nemo.sample']).sort(), [0, 1, 2])
  const calls = spans.filter((span) => span.name === 'POST model.example')
  assert.equal(calls.length, 4, 'what is sent again is a call of its own')
  for (const call of calls)
    assert.deepEqual(traces.chain(call), [
      'nemo-evaluator: POST /v1/evaluation/jobs',
      'nemo-evaluator: evaluation job',
      'nemo-evaluator: task qa',
      'nemo-evaluator: chat/completions m',
      'nemo-evaluator: POST model.example',
    ])
  assert.deepEqual(told.toSorted(), calls.map(({ id }) => `00-${TRACE}-${id}-01`).toSorted())
})

test('a job that fails says why in its span, without secrets', async () => {
  traces.reset()
  h.platform.answer = () => new Response(`no such key ${SECRET}`, { status: 401 })
  assert.equal(await run(), 'failed')
  const spans = await traces.ended((span) => span.name === 'evaluation job')
  for (const name of ['evaluation job', 'task qa', 'chat/completions m'])
    assert.match(String(spans.find((span) => span.name === name)?.failure), /no such key/, name)
  assert.doesNotMatch(JSON.stringify(spans), new RegExp(SECRET))
})
