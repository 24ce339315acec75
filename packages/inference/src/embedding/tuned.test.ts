// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { startTestService } from '../testing.ts'
import { tinyBert } from './testing.ts'

const BASE = 'sentence-transformers/all-MiniLM-L6-v2'
const t = await startTestService()
after(() => t.stop())

test('a tuned embedding model is listed, answers beside its base, can be deployed, and goes', async () => {
  const { files, weights } = tinyBert()
  for (const name of ['config.json', 'model.safetensors'] as const) {
    await writeFile(join(t.dataDir, name), files[name])
  }
  t.files.set('model.safetensors', weights({ value: 0.25 }))
  t.entities.push({
    id: 'm1',
    namespace: 'demo',
    name: 'embedder@v1',
    created_at: '2026-01-01T00:00:00',
    updated_at: '2026-01-01T00:00:00',
    base_model: `${BASE}@1.0`,
    artifact: { status: 'upload_completed', files_url: 'hf://models/demo/embedder@v1' },
  })
  const model = 'demo/embedder@v1'
  const embed = (input_type: string) => t.post('/v1/embeddings', { model, input: ['a b', 'b'], input_type })
  const answer = await embed('query')
  const body = await answer.json()
  assert.deepEqual([answer.status, body.model], [200, model], JSON.stringify(body))
  // The base's tokenizer made its tokens.
  assert.deepEqual(t.engine.embedded.at(-1), [
    [2, 3, 4, 5],
    [2, 4, 5],
  ])
  assert.deepEqual((await (await embed('passage')).json()).data, body.data)
  const listed = (await (await t.app.request('/v1/models')).json()).data
  const { root, parent, max_model_len } = listed.find((one: { id: string }) => one.id === model)
  assert.deepEqual([root, parent, max_model_len], [model, BASE, 512])
  const chat = await t.post('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'a' }] })
  assert.equal(chat.status, 400)
  assert.match(await chat.text(), /embeds text/)

  const send = (path: string, asked: unknown) =>
    t.app.request(`/v1/deployment${path}`, { method: 'POST', body: JSON.stringify(asked) })
  await send('/configs', { name: 'own', namespace: 'demo', model })
  await send('/model-deployments', { name: 'own', namespace: 'demo', config: 'demo/own' })
  const deployed = await (await t.app.request('/v1/deployment/model-deployments/demo/own')).json()
  assert.equal(deployed.status_details.status, 'ready', JSON.stringify(deployed.status_details))

  t.entities.length = 0
  await t.post('/v1/internal/refresh', {})
  assert.equal((await embed('query')).status, 404)
  assert.equal((await t.post('/v1/embeddings', { model: BASE, input: 'a' })).status, 200)
})
