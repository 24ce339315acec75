// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { recordTraces, type SeenSpan, type SeenTraces } from '@open-nemo/runtime/testing/traces.ts'
import { said, startTestService } from './testing.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const REQUEST = 'nemo-guardrails: POST /v1/guardrail/chat/completions'
const config = {
  prompts: [
    { task: 'self_check_input', content: 'IN {{ user_input }}' },
    { task: 'self_check_output', content: 'OUT {{ bot_response }}' },
  ],
  rails: {
    input: { flows: ['self check input'] },
    output: {
      flows: ['self check output'],
      streaming: { enabled: true, chunk_size: 4, context_size: 1, stream_first: false },
    },
  },
}

let traces: SeenTraces
let service: Awaited<ReturnType<typeof startTestService>>
before(async () => {
  traces = await recordTraces()
  service = await startTestService((call) => {
    if (said(call).startsWith('OUT')) return 500
    if (said(call).startsWith('IN')) return said(call).includes('bad') ? 'Yes' : 'No'
    return 'one two three four five six'
  })
})
beforeEach(() => traces.reset())
after(async () => {
  await service.stop()
  await traces.stop()
})

async function chat(content: string, stream = false): Promise<SeenSpan[]> {
  const headers = { traceparent: `00-${TRACE}-b7ad6b7169203331-01` }
  const body = { model: 'm', messages: [{ role: 'user', content }], stream, guardrails: { config } }
  await service.call('POST', '/chat/completions', body, headers)
  return await traces.ended((span) => span.name.startsWith('POST /v1/guardrail'))
}

const chains = (spans: SeenSpan[]) => spans.map((span) => traces.chain(span).slice(1).join(' > '))

test('a rail is a span with its decision, and with the models that it asks below it', async () => {
  const spans = await chat('bad')
  assert.deepEqual(chains(spans), [
    'nemo-guardrails: rail self check input > nemo-guardrails: POST nim.example',
    'nemo-guardrails: rail self check input',
    '',
  ])
  const { attributes } = spans[1] as SeenSpan
  assert.deepEqual(attributes, { 'nemo.stage': 'input', 'nemo.blocked': true })
})

test('rails of a streamed answer are in the trace of its request, and one that cannot decide has failed', async () => {
  await chat('hello', true)
  const spans = await traces.ended((span) => span.name === 'rail self check output')
  const rail = spans.find((span) => span.name === 'rail self check output') as SeenSpan
  assert.deepEqual(traces.chain(rail), [REQUEST, 'nemo-guardrails: rail self check output'])
  assert.equal(rail.trace, TRACE)
  assert.match(String(rail.failure), /the model is down/)
})
