// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureCollector } from '../../packages/cli/src/lab/binaries.ts'
import { cacheDir } from '../../tools/test-tiers/cache.ts'
import { root } from '../../tools/test-tiers/command.ts'
import { BASE, prepare } from '../kill/load.ts'
import { createVictim, type Victim } from '../kill/platform.ts'
import { REPO, SPACE } from '../kill/store-load.ts'
import { type SeenSpan, startCollector } from './collector.ts'

test('traces arrive in a real collector, from the call to the steps of the trainer', {
  skip: process.env.NEMO_SLOW === '1' ? false : 'NEMO_SLOW=1 runs the slow tests',
  timeout: 900_000,
}, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nemo-traces-'))
  // The one that the charts run.
  const recipe = join(root, 'deploy/images/otel/builder.yaml')
  const program = await ensureCollector(cacheDir(), recipe, ({ message }) => console.log(message))
  const collector = await startCollector(program, dir)
  try {
    // An empty exporter means otlp; gRPC is told by its port alone elsewhere.
    const grpc = {
      OTEL_TRACES_EXPORTER: '',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.grpc,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    }
    await withPlatform(join(dir, 'grpc'), grpc, async (victim) => {
      await jobTrace(victim, collector.spans)
      await evaluationTrace(victim, collector.spans)
      await chatTrace(victim, collector.spans)
    })
    const http = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.http,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf',
    }
    await withPlatform(join(dir, 'http'), http, (victim) => chatTrace(victim, collector.spans))
  } finally {
    await collector.stop()
    await rm(dir, { recursive: true, force: true })
  }
})

async function withPlatform(
  dir: string,
  settings: Record<string, string>,
  work: (victim: Victim) => Promise<void>,
) {
  const victim = await createVictim(dir, { ...settings, OTEL_BSP_SCHEDULE_DELAY: '200' })
  await victim.start()
  try {
    await work(victim)
  } finally {
    await victim.stop()
  }
}

/** Posts as a client that has traces of its own. */
async function call(
  url: string,
  body: unknown,
): Promise<{ trace: string; caller: string; answer: { id?: string } }> {
  const trace = randomBytes(16).toString('hex')
  const caller = randomBytes(8).toString('hex')
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', traceparent: `00-${trace}-${caller}-01` },
    body: JSON.stringify(body),
  })
  const text = await response.text()
  assert.ok(response.ok, text)
  return { trace, caller, answer: JSON.parse(text) }
}

/** The first span with this name in the trace, once it has arrived, and its ancestors from the outermost in. */
async function chainOf(
  spans: () => SeenSpan[],
  { trace, caller }: { trace: string; caller: string },
  name: string,
): Promise<string[]> {
  for (let i = 0; i < 600; i++) {
    const all = spans().filter((span) => span.trace === trace)
    const byId = new Map(all.map((span) => [span.id, span]))
    const lines: string[] = []
    let at = all.find((span) => span.name === name)
    let outermost = ''
    for (; at; at = byId.get(at.parent)) {
      lines.unshift(`${at.service}: ${at.name}`)
      outermost = at.parent
    }
    // Spans around others end, and arrive, later.
    if (outermost === caller) return lines
    await sleep(200)
  }
  const seen = spans().map((span) => `${span.trace.slice(0, 6)} ${span.service}: ${span.name}`)
  throw new Error(`no whole chain to ${name} arrived:\n${seen.slice(-60).join('\n')}`)
}

async function jobTrace(victim: Victim, spans: () => SeenSpan[]): Promise<void> {
  await prepare({ victim })
  const made = await call(`${victim.urls.platform}/v1/customization/jobs`, {
    config: `${BASE}@v1.0.0+cpu`,
    dataset: { namespace: SPACE, name: REPO },
    output_model: `${SPACE}/traced@v1`,
    hyperparameters: { training_type: 'sft', finetuning_type: 'lora', epochs: 1, batch_size: 16 },
  })
  assert.deepEqual(await chainOf(spans, made, 'training step'), [
    'nemo-gateway: POST customizer',
    'nemo-customizer: POST /v1/customization/jobs',
    'nemo-customizer: customization job',
    'nemo-customizer: step train',
    'nemo-trainer: training',
    'nemo-trainer: training step',
  ])
  const steps = spans().filter((span) => span.trace === made.trace && span.name === 'training step')
  assert.deepEqual(
    steps.map((span) => span.attributes['nemo.step']),
    ['1', '2', '3'],
  )
  // The adapter's commit is a call to another service, in the same trace.
  const adapter = await chainOf(spans, made, 'step adapter')
  assert.equal(adapter.at(-1), 'nemo-customizer: step adapter')
  const stores = spans().filter((span) => span.trace === made.trace && span.service === 'nemo-data-store')
  assert.ok(stores.some((span) => span.name.includes('/commit/')))
}

async function evaluationTrace(victim: Victim, spans: () => SeenSpan[]): Promise<void> {
  const endpoint = { url: `${victim.urls.nim}/v1`, model_id: BASE }
  const check = { type: 'string-check', params: { check: ['{{sample.output_text}}', 'contains', 'a'] } }
  const task = {
    type: 'chat-completion',
    dataset: { files_url: `hf://datasets/${SPACE}/${REPO}/testing` },
    params: { template: { messages: [{ role: 'user', content: '{{item.prompt}}' }], max_tokens: 4 } },
    metrics: { check },
  }
  const made = await call(`${victim.urls.platform}/v1/evaluation/jobs`, {
    target: { type: 'model', model: { api_endpoint: endpoint } },
    config: { type: 'custom', tasks: { qa: task } },
  })
  // The endpoint under test is reached by its port, as anybody's would be.
  assert.deepEqual(await chainOf(spans, made, 'generate'), [
    'nemo-gateway: POST evaluator',
    'nemo-evaluator: POST /v1/evaluation/jobs',
    'nemo-evaluator: evaluation job',
    'nemo-evaluator: task qa',
    `nemo-evaluator: chat/completions ${BASE}`,
    'nemo-evaluator: POST 127.0.0.1',
    'nemo-gateway: POST inference',
    'nemo-inference: POST /v1/chat/completions',
    'nemo-engine: generate',
  ])
}

async function chatTrace(victim: Victim, spans: () => SeenSpan[]): Promise<void> {
  const body = { model: BASE, messages: [{ role: 'user', content: 'Hello.' }], max_tokens: 4 }
  const made = await call(`${victim.urls.nim}/v1/chat/completions`, body)
  assert.deepEqual(await chainOf(spans, made, 'generate'), [
    'nemo-gateway: POST inference',
    'nemo-inference: POST /v1/chat/completions',
    'nemo-engine: generate',
  ])
}
