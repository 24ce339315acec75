// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import { startTestService } from '../testing.ts'

const t = await startTestService()
after(() => t.stop())

const fixture = (name: string) => readFileSync(new URL(`../lora/fixture/${name}`, import.meta.url))
const MODEL = 'smollm2/smollm2-135m-instruct'
const EMBEDDER = 'sentence-transformers/all-MiniLM-L6-v2'
let clock = 0
const stamp = () => `2026-01-01T00:00:00.${String(++clock).padStart(6, '0')}`

function adapter(name: string, more: object = {}) {
  return {
    id: `model-${name}`,
    namespace: 'ns',
    name,
    created_at: '2026-01-01T00:00:01.000000',
    updated_at: stamp(),
    base_model: MODEL,
    peft: { finetuning_type: 'lora' },
    artifact: { files_url: `hf://ns/${name}`, status: 'upload_completed' },
    ...more,
  }
}

async function refresh(): Promise<string[]> {
  return (await (await t.post('/v1/internal/refresh', {})).json()).data
}
const chat = (model: string) =>
  t.post('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'Hi' }] })

function goodFiles(config: object = {}) {
  const own = JSON.parse(fixture('adapter_config.json').toString())
  t.files.set('adapter_config.json', JSON.stringify({ ...own, ...config }))
  t.files.set('adapter_model.safetensors', fixture('adapter_model.safetensors'))
}

test('an adapter of the entity store is served under its name, with its base as parent', async () => {
  goodFiles({ base_model_sha256: 'base-sha' })
  t.entities.push(adapter('a@v1'))
  // Asking for it is enough: nobody waits for the next look.
  assert.equal((await chat('ns/a@v1')).status, 200)
  const key = t.engine.asked.at(-1)?.adapter?.key
  assert.match(key ?? '', /^[0-9a-f]{64}$/)
  const { data } = await (await t.app.request('/v1/models')).json()
  const listed = data.find((m: { id: string }) => m.id === 'ns/a@v1')
  assert.deepEqual([listed.root, listed.parent, listed.created], [MODEL, MODEL, 1767225601])
})

test('a deployment serves a model without its version too, and the version deployed last', async () => {
  const deployments = '/v1/deployment/model-deployments'
  const names = async () => {
    const { data } = await (await t.app.request('/v1/models')).json()
    return data.map((m: { id: string }) => m.id).filter((id: string) => id.startsWith('ns/'))
  }
  const nim_deployment = { image_name: 'nim', image_tag: '1', gpu: 1 }
  assert.equal((await chat('ns/a')).status, 404)
  for (const model of ['ns/a@v0', 'ns/a@v1']) {
    const body = { name: model.replace(/\W/g, '-'), namespace: 'ns', config: { model, nim_deployment } }
    assert.equal((await t.post(deployments, body)).status, 200)
  }
  assert.deepEqual(await names(), ['ns/a@v1', 'ns/a'])
  assert.equal((await (await chat('ns/a')).json()).model, 'ns/a')
  assert.match(t.engine.asked.at(-1)?.adapter?.key ?? '', /^[0-9a-f]{64}$/)
  await t.app.request(`${deployments}/ns/ns-a-v1`, { method: 'DELETE' })
  assert.deepEqual(await names(), ['ns/a@v1'])
  assert.equal((await chat('ns/a')).status, 404)
  await t.app.request(`${deployments}/ns/ns-a-v0`, { method: 'DELETE' })
})

test('a look that finds nothing new is one small request', async () => {
  await refresh()
  const before = t.calls.length
  await refresh()
  assert.equal(t.calls.length, before + 1)
  assert.match(t.calls.at(-1) ?? '', /page_size=1&/)
})

test('new files replace the adapter, and a deleted entity takes it away', async () => {
  const [entity] = t.entities
  assert.ok(entity)
  const old = t.engine.asked.at(-1)?.adapter?.key
  t.commit.sha = 'c2'
  entity.updated_at = stamp()
  await refresh()
  assert.deepEqual(t.engine.unloaded, [old])
  await chat('ns/a@v1')
  const next = t.engine.asked.at(-1)?.adapter?.key
  assert.notEqual(next, old)
  t.entities.length = 0
  await refresh()
  assert.equal(t.engine.unloaded.at(-1), next)
  const gone = await chat('ns/a@v1')
  assert.equal(gone.status, 404)
})

test('adapters that cannot be served say why, those that may come ask for patience', async () => {
  goodFiles({ base_model_sha256: 'other-weights' })
  t.commit.sha = 'c3'
  t.entities.push(adapter('b@v1'))
  const wrong = await chat('ns/b@v1')
  assert.equal(wrong.status, 422)
  assert.match((await wrong.json()).detail, /trained on weights other-weight/)
  goodFiles({ use_dora: true })
  t.commit.sha = 'c4'
  t.entities.push(adapter('c@v1'))
  assert.match((await (await chat('ns/c@v1')).json()).detail, /use_dora/)
  t.files.clear()
  t.commit.sha = 'c5'
  t.entities.push(adapter('d@v1'))
  const coming = await chat('ns/d@v1')
  assert.equal(coming.status, 503)
  assert.ok(coming.headers.get('retry-after'))
  assert.deepEqual(await refresh(), [MODEL, EMBEDDER])
})

test('an adapter that is found while its base loads is served once the base is there', async () => {
  goodFiles()
  t.entities.length = 0
  t.commit.sha = 'c7'
  t.engine.loading = 'reading weights'
  t.entities.push(adapter('early@v1'))
  const early = await chat('ns/early@v1')
  assert.equal(early.status, 503)
  assert.match((await early.json()).detail, /reading weights/)
  t.engine.loading = undefined
  assert.equal((await chat('ns/early@v1')).status, 200)
})

test('entities that are no adapter of ours are left alone', async () => {
  goodFiles()
  t.entities.length = 0
  t.commit.sha = 'c6'
  t.entities.push(
    adapter('other-base', { base_model: 'meta/llama' }),
    adapter('uploading', { artifact: { files_url: 'hf://ns/x', status: 'created' } }),
    adapter('whole', { peft: { finetuning_type: 'all_weights' } }),
  )
  assert.deepEqual(await refresh(), [MODEL, EMBEDDER])
})

test('a model with an api_endpoint is passed on under its name there, with its key, as it comes', async () => {
  const seen: { url: string; key: string | null; body: Record<string, unknown> }[] = []
  t.outside.set('llm.example', async (request) => {
    const body = await request.json()
    seen.push({ url: request.url, key: request.headers.get('authorization'), body })
    return new Response('data: {"x":1}\n\n', {
      headers: { 'content-type': 'text/event-stream', 'x-own': '1' },
    })
  })
  t.entities.push({
    ...adapter('up', { peft: null, artifact: null }),
    api_endpoint: { url: 'http://llm.example/v1/', model_id: 'gpt', api_key: 'k1' },
  })
  const response = await t.post('/v1/chat/completions', { model: 'ns/up', messages: 'any', own_field: 1 })
  assert.equal(await response.text(), 'data: {"x":1}\n\n')
  assert.equal(response.headers.get('x-own'), null)
  assert.deepEqual(seen, [
    {
      url: 'http://llm.example/v1/chat/completions',
      key: 'Bearer k1',
      body: { model: 'gpt', messages: 'any', own_field: 1 },
    },
  ])
  assert.ok((await refresh()).includes('ns/up'))
  assert.doesNotMatch(await (await t.app.request('/v1/models')).text(), /k1/)
})

test('an upstream that fails is named, and one that leads back here ends', async () => {
  t.outside.set('llm.example', () => {
    throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })
  })
  const dead = await t.post('/v1/embeddings', { model: 'ns/up', input: 'x' })
  assert.equal(dead.status, 502)
  assert.match((await dead.json()).detail, /ECONNREFUSED/)
  t.outside.set('llm.example', (request) => t.app.fetch(request))
  const [up] = t.entities.slice(-1)
  Object.assign(up ?? {}, {
    api_endpoint: { url: 'http://llm.example/v1', model_id: 'ns/up' },
    updated_at: stamp(),
  })
  await refresh()
  const loop = await t.post('/v1/chat/completions', { model: 'ns/up', messages: [] })
  assert.equal(loop.status, 502)
  assert.match((await loop.json()).detail, /leads back/)
})
