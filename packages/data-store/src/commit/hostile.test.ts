// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ApiError } from '@open-nemo/contract'
import { createRandom, damaged } from '@open-nemo/runtime/testing/hostile.ts'
import { file, startForTest } from '../testing.ts'
import { scanCommit } from './scan.ts'

let sandbox = ''
let store: Awaited<ReturnType<typeof startForTest>>
before(async () => {
  sandbox = await mkdtemp(join(tmpdir(), 'nemo-hostile-store-'))
  const dir = join(sandbox, 'a', 'b', 'data')
  await mkdir(dir, { recursive: true })
  store = await startForTest({ dir })
  const made = await store.post('/v1/hf/api/repos/create', {
    name: 'rows',
    organization: 'h',
    type: 'dataset',
  })
  assert.equal(made.status, 200)
})
after(async () => {
  await store.close()
  await rm(sandbox, { recursive: true, force: true })
})

const oid = 'a'.repeat(64)
const GOOD = [
  { key: 'header', value: { summary: 'a', description: '', parentCommit: null } },
  file('training/a.jsonl', '{"prompt": "x"}\n'),
  { key: 'lfsFile', value: { path: 'b.bin', algo: 'sha256', oid, size: 3 } },
  { key: 'copyFile', value: { path: 'c.txt', srcPath: 'training/a.jsonl', srcRevision: 'main' } },
  { key: 'deletedFile', value: { path: 'd.txt' } },
  { key: 'deletedFolder', value: { path: 'e/' } },
]
const BODY = Buffer.from(GOOD.map((line) => JSON.stringify(line)).join('\n'))

test('damaged commit streams are refused or read, in pieces of any size', async () => {
  const random = createRandom(21)
  let refused = 0
  for (let i = 0; i < 200; i++) {
    const bytes = damaged(BODY, random)
    async function* pieces() {
      for (let at = 0; at < bytes.length; ) {
        const size = random.integer(1, 80)
        yield bytes.subarray(at, at + size)
        at += size
      }
    }
    const receiver = { begin: async () => undefined, text: async () => undefined }
    try {
      const limits = { longLine: 50, maxString: 200 }
      for await (const line of scanCommit(pieces(), receiver, limits)) assert.equal(typeof line.key, 'string')
    } catch (err) {
      assert.ok(err instanceof ApiError && err.status < 500, err instanceof Error ? err.stack : String(err))
      refused++
    }
  }
  assert.ok(refused > 80, `only ${refused} were refused`)
})

test('damaged commits through the API are refused or taken, never a server error', async () => {
  const random = createRandom(22)
  const statuses = new Set<number>()
  for (let i = 0; i < 80; i++) {
    const response = await store.request('/v1/hf/api/datasets/h/rows/commit/main', {
      method: 'POST',
      body: damaged(BODY, random) as BodyInit,
    })
    const text = await response.text()
    assert.ok(response.status < 500, `${response.status} ${text}`)
    statuses.add(response.status)
  }
  assert.ok(statuses.has(400), [...statuses].join())
})

const PATHS = [
  '../x',
  '../../../../x',
  'a/../../x',
  '/x',
  '//x',
  'a//x',
  './x',
  'a/./x',
  '.git/config',
  '.GIT/config',
  '.git./config',
  'git~1/config',
  '.g\u200cit/config',
  'a/.git/hooks/post-receive',
  '.gitmodules',
  'a\\..\\..\\x',
  'C:\\x',
  'x\u0000y',
  'x\ny',
  '\u202ex',
  'x'.repeat(5000),
  `${'a/'.repeat(500)}x`,
  '',
  ' ',
  '.',
  '..',
  'con',
  'a/\ud800',
  '%2e%2e%2fx',
  '-rf',
  ':(glob)**',
  'refs/heads/main',
]

test('no path of a commit, a file or an upload leaves the data folder', async () => {
  for (const path of PATHS) {
    for (const line of [
      file(path, 'x'),
      { key: 'lfsFile', value: { path, algo: 'sha256', oid: path, size: 1 } },
      { key: 'copyFile', value: { path: 'ok', srcPath: path, srcRevision: path } },
      { key: 'deletedFile', value: { path } },
      { key: 'deletedFolder', value: { path } },
    ]) {
      const response = await store.commit('h/rows', [line])
      assert.ok(response.status < 500, `${JSON.stringify(line)}: ${response.status} ${await response.text()}`)
    }
    const tail = encodeURIComponent(path.toWellFormed())
    for (const url of [
      `/v1/hf/datasets/h/rows/resolve/main/${tail}`,
      `/v1/hf/datasets/h/rows/resolve/${tail}/x`,
      `/v1/hf/api/datasets/h/rows/tree/main/${tail}`,
      `/v1/hf/api/datasets/h/${tail}`,
      `/v1/hf/api/datasets/${tail}/rows`,
      `/v1/hf/datasets/h/rows.git/info/lfs/objects/${tail}`,
      `/datasets/h/${tail}/info/refs?service=git-upload-pack`,
      `/v1/files/${tail}/content`,
    ]) {
      const response = await store.request(url)
      assert.ok(response.status < 500, `${url}: ${response.status} ${await response.text()}`)
    }
    const made = await store.post('/v1/hf/api/repos/create', {
      name: path,
      organization: path,
      type: 'model',
    })
    assert.ok(made.status < 500, `${path}: ${made.status}`)
  }
  assert.deepEqual(await readdir(sandbox), ['a'])
  assert.deepEqual(await readdir(join(sandbox, 'a')), ['b'])
  assert.deepEqual(await readdir(join(sandbox, 'a', 'b')), ['data'])
})
