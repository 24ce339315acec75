// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UpstreamError } from '../errors.ts'
import { createEntityStoreClient, entityQuery } from './client.ts'
import { INTERNAL_TOKEN_HEADER } from './schemas.ts'

function recorder(answers: Array<[number, unknown]>) {
  const calls: Array<{ method: string; url: string; body: string | undefined; headers: Headers }> = []
  const fetch = async (url: string | URL | Request, init: RequestInit = {}) => {
    calls.push({
      method: init.method ?? 'GET',
      url: String(url),
      body: init.body === undefined ? undefined : String(init.body),
      headers: new Headers(init.headers),
    })
    const [status, body] = answers.shift() ?? [500, 'no more answers']
    return new Response(typeof body === 'string' ? body : JSON.stringify(body), { status })
  }
  return { calls, fetch }
}

test('names keep their slashes and everything else is escaped', async () => {
  const { calls, fetch } = recorder([[200, { name: 'x' }]])
  const client = createEntityStoreClient({ baseUrl: 'http://es:8000/', fetch })
  await client.models.get('a b', 'meta/llama@v1+x?y')
  assert.equal(calls[0]?.url, 'http://es:8000/v1/models/a%20b/meta/llama%40v1%2Bx%3Fy')
  assert.equal(calls[0]?.headers.has(INTERNAL_TOKEN_HEADER), false)
})

test('the internal token travels only when it is given', async () => {
  const { calls, fetch } = recorder([[200, {}]])
  await createEntityStoreClient({ baseUrl: 'http://es', fetch, internalToken: 's3' }).models.get('a', 'b')
  assert.equal(calls[0]?.headers.get(INTERNAL_TOKEN_HEADER), 's3')
})

test('find is undefined on 404 and throws on everything else', async () => {
  const { fetch } = recorder([
    [404, { detail: 'no' }],
    [503, 'busy'],
  ])
  const client = createEntityStoreClient({ baseUrl: 'http://es', fetch })
  assert.equal(await client.datasets.find('a', 'b'), undefined)
  await assert.rejects(
    client.datasets.find('a', 'b'),
    (error) => error instanceof UpstreamError && error.status === 503 && error.body === 'busy',
  )
})

test('ensure gives the namespace that exists', async () => {
  const { calls, fetch } = recorder([
    [409, { detail: 'exists' }],
    [200, { id: 'team' }],
  ])
  const client = createEntityStoreClient({ baseUrl: 'http://es', fetch })
  assert.equal((await client.namespaces.ensure('team')).id, 'team')
  assert.deepEqual(
    calls.map((c) => `${c.method} ${c.url}`),
    ['POST http://es/v1/namespaces', 'GET http://es/v1/namespaces/team'],
  )
})

test('all reads pages until one is empty', async () => {
  const { calls, fetch } = recorder([
    [200, { data: [{ name: 'a' }, { name: 'b' }] }],
    [200, { data: [{ name: 'c' }] }],
    [200, { data: [] }],
  ])
  const client = createEntityStoreClient({ baseUrl: 'http://es', fetch })
  const names: string[] = []
  for await (const model of client.models.all({ filter: { peft: true } })) names.push(model.name)
  assert.deepEqual(names, ['a', 'b', 'c'])
  assert.equal(calls[2]?.url, 'http://es/v1/models?page_size=100&filter%5Bpeft%5D=true&page=3')
})

test('queries are bracketed as the SDK writes them', () => {
  assert.equal(
    decodeURIComponent(
      entityQuery({ page: 2, filter: { created_at: { gte: 'x' }, namespace: undefined }, sort: '-name' }),
    ),
    'page=2&filter[created_at][gte]=x&sort=-name',
  )
})

test('a success that is not JSON is an error, not undefined data', async () => {
  const { fetch } = recorder([[200, '<html>']])
  const client = createEntityStoreClient({ baseUrl: 'http://es', fetch })
  await assert.rejects(client.models.list(), { name: 'UpstreamError', status: 502 })
})
