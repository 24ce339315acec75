// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { askModel } from './probe.ts'

const answering = (answers: Record<string, [number, unknown]>) =>
  (async (url: string) => {
    const [status, body] = answers[new URL(url).pathname] ?? [404, {}]
    return new Response(JSON.stringify(body), { status })
  }) as unknown as typeof fetch

test('the model of a NIM is the one whose root is itself; adapters have another', async () => {
  const data = [
    { id: 'a/adapter', root: 'b/base' },
    { id: 'b/base', root: 'b/base' },
  ]
  assert.deepEqual(await askModel('http://n', answering({ '/v1/models': [200, { data }] })), {
    name: 'b/base',
  })
})

test('a NIM without models is asked for its metadata; one that lists none yet, or fails, is not ready', async () => {
  const metadata: [number, unknown] = [200, { modelInfo: [{ shortName: 'embed' }] }]
  assert.deepEqual(await askModel('http://n', answering({ '/v1/metadata': metadata })), { name: 'embed' })
  assert.deepEqual(await askModel('http://n', answering({})), { name: '' })
  await assert.rejects(
    askModel('http://n', answering({ '/v1/models': [200, { data: [] }] })),
    /lists no model yet/,
  )
  await assert.rejects(askModel('http://n', answering({ '/v1/models': [503, {}] })), /answered 503/)
})
