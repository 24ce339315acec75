// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { CONFIG, startHarness } from '../testing/harness.ts'
import { createSealer } from './seal.ts'

interface Call {
  path: string
  authorization: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: bodies are read field by field
  body: any
}

/** A server that answers by path and remembers what it was sent. */
async function startTracker(answer: (call: Call) => [status: number, body: unknown]) {
  const calls: Call[] = []
  const read = async (request: IncomingMessage) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks).toString()
  }
  const server = createServer(async (request, response) => {
    const { authorization } = request.headers
    const call = { path: request.url ?? '', authorization, body: JSON.parse(await read(request)) }
    calls.push(call)
    const [status, body] = answer(call)
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, calls, close: () => server.close() }
}

const wandbAnswers = ({ path, body }: Call): [number, unknown] => {
  if (path !== '/graphql') return [200, {}]
  const { project, entity, name } = body.variables
  const owner = { name: entity ?? 'me' }
  return [
    200,
    {
      data: { upsertBucket: { bucket: { name, project: { name: project, entity: owner } }, inserted: true } },
    },
  ]
}

let db: Database
before(async () => {
  db = await openMemoryDatabase()
})
after(() => db.close())

test('a job is logged to Weights & Biases by its own key, which is nowhere to be read', async () => {
  const wandb = await startTracker(wandbAnswers)
  const h = await startHarness(db, { settings: { WANDB_BASE_URL: wandb.url }, env: { FAKE_STEP_MS: '30' } })
  try {
    const response = await h.service.app.request('/v1/customization/jobs', {
      method: 'POST',
      headers: { 'wandb-api-key': 'the-secret-key' },
      body: JSON.stringify({
        config: CONFIG,
        dataset: 'demo/rows',
        hyperparameters: { finetuning_type: 'lora', epochs: 2, batch_size: 2, log_every_n_steps: 2 },
        integrations: [{ type: 'wandb', wandb: { project: 'p', name: 'my run', tags: ['t'], notes: 'n' } }],
      }),
    })
    const made = (await response.json()) as { id: string; warnings: unknown }
    assert.equal(made.warnings, null)
    const done = await h.waitFor(made.id, 'completed')
    const [begin, ...rest] = wandb.calls
    assert.equal(begin?.path, '/graphql')
    assert.equal(begin?.authorization, `Basic ${Buffer.from('api:the-secret-key').toString('base64')}`)
    const { config, ...variables } = begin?.body.variables ?? {}
    assert.deepEqual(variables, {
      name: made.id,
      project: 'p',
      entity: null,
      displayName: 'my run',
      notes: 'n',
      tags: ['t'],
      state: 'running',
    })
    assert.equal(JSON.parse(config)['lora.alpha'].value, 16)
    assert.ok(rest.every(({ path }) => path === `/files/me/p/${made.id}/file_stream`))
    assert.deepEqual(rest.at(-1)?.body, { complete: true, exitcode: 0 })
    const lines: Record<string, number>[] = []
    for (const { body } of rest.slice(0, -1)) {
      const { offset, content } = body.files['wandb-history.jsonl']
      assert.equal(offset, lines.length)
      lines.push(...content.map((line: string) => JSON.parse(line)))
    }
    const losses = lines.filter((line) => line.train_loss !== undefined)
    assert.deepEqual(
      losses.map((line) => [line._step, line.train_loss]),
      [2, 4, 6, 8].map((step) => [step, 4 / step]),
    )
    assert.deepEqual(
      done.status_details.metrics.metrics.train_loss.map((v: { step: number }) => v.step + 1),
      [2, 4, 6, 8],
    )
    const rows = await db.query('SELECT * FROM customizer.jobs')
    assert.doesNotMatch(JSON.stringify([rows, done]), /the-secret-key|YXBpOnRoZS1/)
  } finally {
    await h.close()
    wandb.close()
  }
})

test('a tracker that refuses, and one that is away, cost the job a warning and nothing else', async () => {
  const wandb = await startTracker(() => [401, { error: 'bad key' }])
  const settings = { WANDB_BASE_URL: wandb.url, WANDB_API_KEY: 'k', NEMO_MLFLOW_URL: 'http://127.0.0.1:9' }
  const h = await startHarness(db, { settings })
  try {
    const id = await h.createJob()
    await h.waitFor(id, 'completed')
    const { body } = await h.call('GET', `/v1/customization/jobs/${id}`)
    const told = (body.warnings as { message: string; explanation: string }[]).map(
      ({ message, explanation }) => `${message}: ${explanation}`,
    )
    assert.match(told.join('\n'), /Weights & Biases at http:\/\/127\.0\.0\.1:\d+: it answered 401: .*bad key/)
    assert.match(told.join('\n'), /MLflow at http:\/\/127\.0\.0\.1:9\/: it did not answer/)
    assert.equal(wandb.calls.length, 1)
  } finally {
    await h.close()
    wandb.close()
  }
})

test('integrations that log nothing are warnings that say what is missing', async () => {
  const h = await startHarness(db, { launcher: { prepare: () => new Promise(() => {}) } })
  try {
    const integrations = [{ type: 'wandb', wandb: {} }, { mlflow: {} }, { type: 'clearml' }]
    const id = await h.createJob({ integrations })
    const { body } = await h.call('GET', `/v1/customization/jobs/${id}`)
    const told = JSON.stringify(body.warnings)
    for (const text of [/wandb-api-key/, /NEMO_MLFLOW_URL/, /integration clearml logs nothing/])
      assert.match(told, text)
  } finally {
    await h.close()
  }
})

test('what is sealed opens with the same secret only, and the own secret is for this user alone', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'seal-'))
  try {
    const first = await createSealer(dir, undefined)
    const sealed = first.seal('key ü')
    assert.notEqual(sealed, first.seal('key ü'))
    assert.equal((await createSealer(dir, undefined)).open(sealed), 'key ü')
    assert.equal((await stat(join(dir, 'secret'))).mode & 0o777, 0o600)
    assert.equal((await createSealer(dir, 'other')).open(sealed), undefined)
    assert.equal(first.open(`A${sealed.slice(1)}`) === 'key ü' && !sealed.startsWith('A'), false)
    assert.equal(first.open('short'), undefined)
    assert.ok((await readFile(join(dir, 'secret'), 'utf8')).length >= 40)
    await writeFile(join(dir, 'secret'), 'changed')
    assert.equal((await createSealer(dir, undefined)).open(sealed), undefined)
  } finally {
    await rm(dir, { recursive: true })
  }
})
