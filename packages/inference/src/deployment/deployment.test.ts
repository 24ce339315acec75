// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startTestService } from '../testing.ts'

const t = await startTestService()
const upstream = createServer((request, response) => {
  const allowed = request.headers.authorization === 'Bearer secret-1'
  response.writeHead(allowed ? 200 : 401, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ object: 'list', data: [{ id: 'big/one' }, { id: 'big/two' }] }))
})
await once(upstream.listen(0, '127.0.0.1'), 'listening')
const host_url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`
after(async () => {
  await t.stop()
  upstream.close()
})

const BASE = '/v1/deployment'
const MODEL = 'smollm2/smollm2-135m-instruct'
const nim_deployment = {
  image_name: 'nvcr.io/nim/x',
  image_tag: '1',
  gpu: 1,
  pvc_size: '25Gi',
  additional_envs: {},
}
const send = async (method: string, path: string, body?: unknown) => {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
  const response = await t.app.request(`${BASE}${path}`, init)
  return { status: response.status, body: await response.json(), headers: response.headers }
}
async function until(name: string, status: string) {
  for (let i = 0; i < 100; i++) {
    const { body } = await send('GET', `/model-deployments/${name}`)
    if (body.status_details.status === status) return body
    await sleep(20)
  }
  throw new Error(`${name} is not ${status}`)
}

test('a model of the catalogue: pending when made, ready when it answers, gone when deleted', async () => {
  t.engine.loading = 'reading weights'
  const config = await send('POST', '/configs', {
    name: 'small',
    namespace: 'demo',
    model: MODEL,
    nim_deployment,
  })
  assert.deepEqual([config.status, config.body.nim_deployment], [200, nim_deployment])
  const made = await send('POST', '/model-deployments', {
    name: 'one',
    namespace: 'demo',
    config: 'demo/small',
    hf_token: 'hf_x',
  })
  assert.deepEqual(
    [made.status, made.body.deployed, made.body.url, made.body.status_details, made.body.async_enabled],
    [200, false, '', { status: 'pending', description: 'Model deployment created' }, false],
  )
  assert.ok(!('hf_token' in made.body))
  const loading = await send('GET', '/model-deployments/demo/one')
  assert.deepEqual(loading.body.status_details, { status: 'pending', description: 'reading weights' })
  t.engine.loading = undefined
  const ready = await until('demo/one', 'ready')
  assert.deepEqual([ready.deployed, ready.url, ready.config], [true, 'http://nim.test', 'demo/small'])
  assert.match(ready.status_details.description, /modeldeployment-demo-one" successfully rolled out/)
  const list = await send('GET', '/model-deployments?filter[status]=ready&sort=-name&page_size=1')
  assert.deepEqual([list.body.data[0].name, list.body.pagination.total_results], ['one', 1])
  const used = await send('DELETE', '/configs/demo/small')
  assert.deepEqual([used.status, /demo\/one/.test(used.body.detail)], [409, true])
  assert.match((await send('DELETE', '/model-deployments/demo/one')).body.id, /^model_deployment-/)
  assert.equal((await send('GET', '/model-deployments/demo/one')).status, 404)
  assert.equal((await send('DELETE', '/configs/demo/small')).status, 200)
})

test('what cannot be served says why and what to do; changing it mends it', async () => {
  const body = {
    name: 'far',
    namespace: 'demo',
    config: { model: 'meta/llama-3.1-8b-instruct', nim_deployment },
  }
  await send('POST', '/model-deployments', body)
  const far = await until('demo/far', 'failed')
  assert.match(far.status_details.description, /not served here.*nemoctl models add/)
  const mended = await send('PATCH', '/model-deployments/demo/far', { config: { model: MODEL } })
  assert.equal(mended.body.status_details.status, 'ready')
})

test('an external server answers under its models’ names; its key is never shown', async () => {
  const external_endpoint = { host_url, api_key: 'secret-1', enabled_models: ['big/two'] }
  const config = await send('POST', '/configs', { name: 'ext', external_endpoint })
  assert.equal(config.body.external_endpoint.api_key, '******')
  await send('POST', '/model-deployments', { name: 'ext', config: 'ext' })
  await until('default/ext', 'ready')
  const models = await (await t.app.request('/v1/models')).json()
  assert.deepEqual(
    models.data.map((m: { id: string }) => m.id).filter((id: string) => id.startsWith('big/')),
    ['big/two'],
  )
  t.outside.set('127.0.0.1', async (request) =>
    Response.json({ key: request.headers.get('authorization'), asked: await request.json() }),
  )
  const answer = await (await t.post('/v1/chat/completions', { model: 'big/two', messages: [] })).json()
  assert.deepEqual(answer, { key: 'Bearer secret-1', asked: { model: 'big/two', messages: [] } })
  // What was shown may be sent back: the stored key stays.
  const shown = { ...external_endpoint, api_key: '******', enabled_models: ['big/three'] }
  await send('PATCH', '/configs/default/ext', { external_endpoint: shown })
  assert.match((await until('default/ext', 'failed')).status_details.description, /no model big\/three/)
  // But never to another server, and a mask alone is no key.
  const elsewhere = { host_url: 'http://127.0.0.1:9/v1', api_key: '******' }
  const named = { name: 'masked', external_endpoint: elsewhere }
  const refused = [
    await send('PATCH', '/configs/default/ext', { external_endpoint: elsewhere }),
    await send('POST', '/configs', named),
    await send('POST', '/model-deployments', { name: 'masked', config: named }),
    await send('PATCH', '/model-deployments/default/ext', { config: named }),
  ]
  for (const { status, body } of refused) {
    assert.deepEqual([status, body.detail[0].loc.at(-1)], [422, 'api_key'])
  }
  const everything = JSON.stringify([await send('GET', '/configs'), await send('GET', '/model-deployments')])
  assert.ok(!everything.includes('secret-1'))
  await send('DELETE', '/model-deployments/default/ext')
  assert.equal((await t.post('/v1/chat/completions', { model: 'big/two', messages: [] })).status, 404)
})

test('faults', async () => {
  const config = { name: 'twice', model: MODEL }
  assert.equal((await send('POST', '/configs', config)).status, 200)
  assert.equal((await send('POST', '/configs', config)).status, 409)
  await send('POST', '/model-deployments', { name: 'twice', config: 'default/twice' })
  const again = await send('POST', '/model-deployments', { name: 'twice', config: 'default/twice' })
  assert.deepEqual([again.status, again.headers.get('x-should-retry')], [500, 'false'])
  assert.match(again.body.detail, /model deployment already exists/)
  assert.equal((await send('POST', '/model-deployments', { name: 'x', config: 'no/such' })).status, 404)
  assert.equal((await send('POST', '/model-deployments', { name: 'x' })).status, 422)
  const inline = { model: MODEL, nim_deployment: { ...nim_deployment, gpu: 'many' } }
  const nested = await send('POST', '/model-deployments', { name: 'x', config: inline })
  assert.deepEqual(
    [nested.status, nested.body.detail[0].loc],
    [422, ['body', 'config', 'nim_deployment', 'gpu']],
  )
  assert.equal((await send('POST', '/configs', { external_endpoint: { host_url: 'ftp://x' } })).status, 422)
  assert.equal((await send('GET', '/configs?filter[colour]=x')).status, 422)
  assert.equal((await send('PATCH', '/configs/no/such', {})).status, 404)
})
