// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { UpstreamError } from '../errors.ts'
import { createDataStoreClient } from './client.ts'
import { formatFilesUrl, parseFilesUrl } from './refs.ts'

function recorded(answer: (request: Request) => Response | Promise<Response>) {
  const requests: Request[] = []
  const client = createDataStoreClient({
    baseUrl: 'http://nemo-data-store:3000/',
    fetch: async (input, init) => {
      const request = new Request(input as string, init)
      requests.push(request)
      return answer(request)
    },
  })
  return { client, requests }
}

test('files urls: every spelling is read, and written back', () => {
  assert.deepEqual(parseFilesUrl('hf://datasets/ns/name'), {
    type: 'dataset',
    id: 'ns/name',
    revision: undefined,
    path: '',
  })
  assert.deepEqual(parseFilesUrl('hf://ns/model@v1'), {
    type: 'model',
    id: 'ns/model',
    revision: 'v1',
    path: '',
  })
  assert.deepEqual(parseFilesUrl('hf://models/ns/m/a/b.json').path, 'a/b.json')
  assert.deepEqual(parseFilesUrl('nds:ns/name').type, 'dataset')
  for (const bad of ['http://x/y', 'hf://datasets/ns', 'hf://ns', 'hf://ns/@v1', 'hf://datasets/ns/n/../x']) {
    assert.throws(() => parseFilesUrl(bad), /not hf|lacks|must not/, bad)
  }
  for (const url of ['hf://datasets/ns/name@v1/a/b', 'hf://ns/name@1.0']) {
    assert.equal(formatFilesUrl(parseFilesUrl(url)), url)
  }
})

test('a commit streams header, deletions and files as NDJSON', async () => {
  let body = ''
  const { client, requests } = recorded(async (request) => {
    body = await request.text()
    return Response.json({ success: true, commitOid: 'c', commitUrl: 'u', hookOutput: '' })
  })
  const bytes = new Uint8Array(1_000_001).map((_, i) => i % 251)
  const uneven = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0, n = 1; at < bytes.length; at += n, n = (n * 7 + 1) % 5003)
        controller.enqueue(bytes.slice(at, at + n))
      controller.close()
    },
  })
  await client.commit({
    type: 'dataset',
    id: 'ns/name',
    branch: 'refs/pr/1',
    message: 'm',
    parent: 'p',
    deletions: ['old.txt', 'dir/'],
    files: [
      { path: 'a "q".bin', content: () => uneven },
      { path: 'b', content: 'héllo' },
      { path: 'c', content: bytes },
    ],
  })
  assert.equal(
    requests[0]?.url,
    'http://nemo-data-store:3000/v1/hf/api/datasets/ns/name/commit/refs%2Fpr%2F1',
  )
  const lines = body
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(lines[0], { key: 'header', value: { description: '', summary: 'm', parentCommit: 'p' } })
  assert.deepEqual(lines.slice(1, 3), [
    { key: 'deletedFile', value: { path: 'old.txt' } },
    { key: 'deletedFolder', value: { path: 'dir/' } },
  ])
  assert.equal(lines[3].value.path, 'a "q".bin')
  assert.deepEqual(new Uint8Array(Buffer.from(lines[3].value.content, 'base64')), bytes)
  assert.equal(Buffer.from(lines[4].value.content, 'base64').toString(), 'héllo')
  assert.deepEqual(new Uint8Array(Buffer.from(lines[5].value.content, 'base64')), bytes)
})

test('listTree follows the pages on its own host', async () => {
  const { client, requests } = recorded((request) => {
    const first = !request.url.includes('cursor')
    const headers: HeadersInit = first ? { link: '<http://outside/v1/hf/next?cursor=x>; rel="next"' } : {}
    const entry = { type: 'file', oid: 'o', size: 1, path: first ? 'a' : 'b' }
    return Response.json([entry], { headers })
  })
  const tree = await client.listTree({ type: 'model', id: 'ns/m', recursive: true })
  assert.deepEqual(
    tree.map((e) => e.path),
    ['a', 'b'],
  )
  assert.equal(requests[1]?.url, 'http://nemo-data-store:3000/v1/hf/next?cursor=x')
})

test('a short download and a refusal are errors', async () => {
  const { client } = recorded((request) =>
    request.url.includes('missing')
      ? new Response('{"detail":"gone"}', { status: 404 })
      : new Response('abc', { headers: { 'content-length': '5', etag: '"e"' } }),
  )
  const sink = new WritableStream<Uint8Array>()
  await assert.rejects(
    client.downloadTo({ type: 'model', id: 'a/b', path: 'f' }, sink),
    /3 bytes came instead of 5/,
  )
  await assert.rejects(
    client.download({ type: 'model', id: 'a/b', path: 'missing' }),
    (e) => e instanceof UpstreamError && e.status === 404,
  )
})
