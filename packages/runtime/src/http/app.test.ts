// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError, defineErrors } from '@open-nemo/contract'
import { platformErrors } from '@open-nemo/contract/platform/errors.ts'
import { z } from 'zod'
import { silentLogger } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createApp } from './app.ts'
import { errorResponse } from './error-response.ts'
import { route } from './route.ts'

const errors = defineErrors('app-test', {
  TEST_TAKEN: { status: 409, message: '{id} is taken', hint: 'Choose another' },
})

function testApp(errorStyle: 'fastapi' | 'hub' | 'openai' = 'fastapi') {
  const app = createApp({ name: 'test', log: silentLogger(), metrics: createMetrics(), errorStyle })
  const body = z.looseObject({ name: z.string(), inner: z.object({ n: z.int() }).optional() })
  route(app, { method: 'POST', path: '/things', id: 'create', summary: 'Create', body }, (r) => r.body)
  route(app, { method: 'GET', path: '/things/:ns/:name{.+}', id: 'get', summary: 'Get' }, (r) => r.params)
  route(app, { method: 'DELETE', path: '/things/:ns', id: 'del', summary: 'Delete' }, () => {
    throw errors.TEST_TAKEN({ id: 'x' })
  })
  route(app, { method: 'PUT', path: '/fault', id: 'fault', summary: 'Fault' }, () => {
    throw new Error('secret detail')
  })
  return app
}

const post = (body: BodyInit, headers = {}) => testApp().request('/things', { method: 'POST', body, headers })

test('validates a body whatever its content type, keeping unknown fields', async () => {
  const res = await post('{"name":"a","extra":1}', { 'content-type': 'text/plain' })
  assert.equal(res.status, 200)
  assert.deepEqual(await res.json(), { name: 'a', extra: 1 })
})

test('422 names the field in the shape of FastAPI', async () => {
  const missing = await (await post('{}')).json()
  assert.deepEqual(missing, { detail: [{ loc: ['body', 'name'], msg: 'Field required', type: 'missing' }] })
  const inner = await (await post('{"name":"a","inner":{"n":1.5}}')).json()
  assert.deepEqual(inner.detail[0].loc, ['body', 'inner', 'n'])
})

test('hostile bodies: empty, not JSON, not UTF-8, too large', async () => {
  assert.equal((await post('')).status, 422)
  assert.match(JSON.stringify(await (await post('{"name":')).json()), /JSON decode error/)
  assert.match(JSON.stringify(await (await post(new Uint8Array([0x22, 0xff, 0x22]))).json()), /not UTF-8/)
  assert.equal((await post('{}', { 'content-length': String(2 ** 40) })).status, 413)
})

test('names may hold / and @ and encoded characters', async () => {
  const res = await testApp().request('/things/default/meta/llama@v1%20x')
  assert.deepEqual(await res.json(), { ns: 'default', name: 'meta/llama@v1 x' })
})

test('a conflict is not retried by the SDK, an unknown path lists the way on, a fault hides its cause', async () => {
  const conflict = await testApp().request('/things/a', { method: 'DELETE' })
  assert.equal(conflict.headers.get('x-should-retry'), 'false')
  assert.deepEqual(await conflict.json(), { detail: 'x is taken. Choose another', code: 'TEST_TAKEN' })
  const absent = platformErrors.SERVICE_NOT_PRESENT({ service: 'evaluator', path: '/x' })
  assert.equal(errorResponse(absent, 'openai', undefined).response.headers.get('x-should-retry'), 'false')
  const method = await testApp().request('/things', { method: 'PUT' })
  assert.equal(method.status, 405)
  assert.equal(method.headers.get('allow'), 'POST')
  assert.equal((await testApp().request('/nothing')).status, 404)
  const fault = await testApp().request('/fault', { method: 'PUT', headers: { 'x-request-id': 'r1' } })
  assert.equal(fault.status, 500)
  assert.doesNotMatch(await fault.text(), /secret detail/)
})

test('the hub and OpenAI get their own error shapes beside detail', async () => {
  const hub = await testApp('hub').request('/things/a', { method: 'DELETE' })
  assert.equal(hub.headers.get('x-error-code'), 'TEST_TAKEN')
  const openai = await (await testApp('openai').request('/things/a', { method: 'DELETE' })).json()
  assert.equal(openai.error.code, 'TEST_TAKEN')
  const wrong = { method: 'POST', body: '{"name":"a","inner":{"n":1.5}}' }
  assert.equal((await (await testApp('openai').request('/things', wrong)).json()).error.param, 'inner.n')
  assert.ok(errors.TEST_TAKEN() instanceof ApiError)
})

test('health, metrics and the OpenAPI document answer', async () => {
  const app = testApp()
  for (const path of ['/health', '/v1/health', '/v1/health/live', '/v1/health/ready']) {
    assert.equal((await app.request(path)).status, 200, path)
  }
  await app.request('/things/a/b')
  assert.match(await (await app.request('/metrics')).text(), /route="\/things\/:ns\/:name\{\.\+\}"/)
  const doc = await (await app.request('/openapi.json')).json()
  assert.equal(doc.openapi, '3.1.0')
  assert.deepEqual(Object.keys(doc.paths), ['/things', '/things/{ns}/{name}', '/things/{ns}', '/fault'])
})
