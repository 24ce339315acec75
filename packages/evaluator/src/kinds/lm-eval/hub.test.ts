// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import type { ModelClient } from '../../model/types.ts'
import { type Forwarder, startForwarder } from './forwarder.ts'
import { hubsOf } from './hub.ts'

const asked: { url: string; method: string; authorization: string | null }[] = []
/** A Data Store with demo/own, and a hub that sends its files elsewhere. */
const fetchHubs: typeof globalThis.fetch = async (input, init) => {
  const url = String(input)
  const headers = new Headers(init?.headers)
  asked.push({ url, method: init?.method ?? 'GET', authorization: headers.get('authorization') })
  if (url.startsWith('http://store/v1/hf/'))
    return url.includes('demo/own') ? Response.json({ from: 'store' }) : Response.json({}, { status: 404 })
  if (url.includes('/resolve/')) {
    const moved = { location: 'https://cdn.example/blob?sig=1', 'x-repo-commit': 'c1', 'x-linked-size': '4' }
    return new Response(null, { status: 302, headers: moved })
  }
  if (url.startsWith('https://cdn.example/')) return new Response('data', { headers: { etag: '"e"' } })
  if (url.includes('/tree/')) {
    const link = '<https://hub.example/api/datasets/a/b/tree/main?cursor=x>; rel="next"'
    return Response.json([], { headers: { link } })
  }
  return Response.json({ from: 'hub' })
}

let forwarder: Forwarder
before(async () => {
  const hubs = hubsOf({
    dataStoreUrl: 'http://store',
    env: { HF_ENDPOINT: 'https://hub.example/' },
    endpoint: undefined,
    token: 'hf_secret',
  })
  const { signal } = new AbortController()
  forwarder = await startForwarder({
    client: {} as ModelClient,
    hub: { fetch: fetchHubs, signal, hubs, chosen: new Map(), away: new Map() },
    log: () => undefined,
  })
})
after(() => forwarder.close())
beforeEach(() => asked.splice(0))

const get = (path: string, token = forwarder.token, method = 'GET') =>
  fetch(`${forwarder.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
    redirect: 'manual',
  })

test('a repository comes from the Data Store when it is there, else from the hub, with the key of the hub alone', async () => {
  assert.deepEqual(await (await get('/hub/api/datasets/demo/own/revision/main')).json(), { from: 'store' })
  assert.deepEqual(await (await get('/hub/api/datasets/a/b/revision/main')).json(), { from: 'hub' })
  assert.ok(
    asked.every(
      (one) => one.authorization === (one.url.startsWith('https://hub') ? 'Bearer hf_secret' : null),
    ),
  )
  asked.splice(0)
  await get('/hub/api/datasets/a/b')
  assert.deepEqual(
    asked.map((one) => one.url),
    ['https://hub.example/api/datasets/a/b'],
  )
})

test('files that a hub keeps elsewhere are fetched here too, without the key', async () => {
  const head = await get('/hub/datasets/a/b/resolve/main/x.parquet', forwarder.token, 'HEAD')
  assert.equal(head.status, 302)
  assert.equal(head.headers.get('x-repo-commit'), 'c1')
  const location = head.headers.get('location') ?? ''
  assert.match(location, /^\/hub\/away\/[\w-]{24}$/)
  const file = await fetch(forwarder.url + location)
  assert.equal(await file.text(), 'data')
  assert.deepEqual(asked.at(-1), {
    url: 'https://cdn.example/blob?sig=1',
    method: 'GET',
    authorization: null,
  })
})

test('further pages lead here', async () => {
  const link = (await get('/hub/api/datasets/a/b/tree/main')).headers.get('link')
  assert.equal(link, `<${forwarder.url}/hub/api/datasets/a/b/tree/main?cursor=x>; rel="next"`)
})

test('nothing is passed on without the token, nor by a name that was not given', async () => {
  assert.equal((await get('/hub/api/datasets/a/b', 'guess')).status, 401)
  assert.equal((await get('/v1/completions', 'guess', 'POST')).status, 401)
  assert.equal((await get('/hub/away/guess')).status, 404)
  assert.equal(asked.length, 0)
})

test('a hub of the job is the only one', () => {
  const hubs = hubsOf({ dataStoreUrl: 'http://store', env: {}, endpoint: 'http://mine/v1/hf/', token: 't' })
  assert.deepEqual(hubs, [{ url: 'http://mine/v1/hf', token: 't' }])
})
