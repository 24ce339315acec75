// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { pullModel } from '../commands/pull-model.ts'

const WEIGHTS = Buffer.alloc(3_000_000, 5)
const SUM = createHash('sha256').update(WEIGHTS).digest('hex')
let folder: string
let hub: Server
let calls: string[]
/** Bytes after which a download breaks off, once. */
let breakAt: number | undefined

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemo-pull-'))
  await writeFile(join(folder, 'termination'), '')
  calls = []
  breakAt = undefined
  hub = createServer((request, response) => {
    const { url = '', headers } = request
    calls.push(`${url} ${headers.range ?? ''}`.trim())
    const json = (body: unknown) =>
      response.setHeader('content-type', 'application/json').end(JSON.stringify(body))
    if (headers.authorization === 'Bearer wrong') return response.writeHead(401).end()
    if (url.startsWith('/v1/hf/api/models/a/b/revision/')) return json({ sha: 'c1' })
    if (url.startsWith('/v1/hf/api/models/a/b/tree/c1')) {
      return json([
        { type: 'directory', path: 'x' },
        { type: 'file', path: 'x/config.json', size: 2 },
        { type: 'file', path: '../../evil', size: 2 },
        { type: 'file', path: 'm.gguf', size: 130, lfs: { oid: SUM, size: WEIGHTS.length } },
      ])
    }
    if (url === '/v1/hf/a/b/resolve/c1/x/config.json') return response.end('{}')
    if (url !== '/v1/hf/a/b/resolve/c1/m.gguf') return response.writeHead(404).end()
    const start = Number(/bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0)
    response.writeHead(start > 0 ? 206 : 200, { 'content-length': WEIGHTS.length - start })
    if (breakAt === undefined) return response.end(WEIGHTS.subarray(start))
    response.write(WEIGHTS.subarray(start, breakAt), () => setTimeout(() => response.destroy(), 50))
    breakAt = undefined
    return response
  })
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve))
})
afterEach(async () => {
  hub.closeAllConnections()
  await new Promise((resolve) => hub.close(resolve))
  await rm(folder, { recursive: true, force: true })
})

const pull = (id: string, more: Record<string, unknown> = {}, env = {}) =>
  pullModel(
    id,
    {
      endpoint: `http://127.0.0.1:${(hub.address() as AddressInfo).port}/v1/hf/`,
      type: 'model',
      revision: 'main',
      to: join(folder, 'store'),
      terminationLog: join(folder, 'termination'),
      ...more,
    },
    env,
  )
const told = async () => JSON.parse(await readFile(join(folder, 'termination'), 'utf8'))

test('brings every file, goes on after a broken download, and fetches nothing twice', async () => {
  breakAt = 1_000_000
  assert.equal(await pull('a/b'), 0)
  assert.ok(
    calls.some((call) => /m.gguf bytes=\d+-$/.test(call)),
    'resumed',
  )
  assert.equal(
    createHash('sha256')
      .update(await readFile(join(folder, 'store/m.gguf')))
      .digest('hex'),
    SUM,
  )
  assert.equal(await readFile(join(folder, 'store/x/config.json'), 'utf8'), '{}')
  assert.deepEqual(await told(), { id: 'a/b', revision: 'c1', files: 2, bytes: WEIGHTS.length + 2 })
  calls = []
  assert.equal(await pull('a/b'), 0)
  assert.equal(calls.filter((call) => call.includes('resolve')).length, 0)
})

test('looks at the size first: nothing is fetched for a volume that is too small', async () => {
  assert.equal(await pull('a/b', { capacity: String(17_000_000) }), 28)
  assert.equal(calls.filter((call) => call.includes('resolve')).length, 0)
  const { neededBytes, availableBytes, message } = await told()
  assert.deepEqual([neededBytes, availableBytes], [WEIGHTS.length + 2, 17_000_000 - 16 * 2 ** 20])
  assert.match(message, /raise storage.pvc.size/)
})

test('a repository that is not there, or not shown, ends with what to do', async () => {
  assert.equal(await pull('a/other', { tries: 1 }), 2)
  assert.match((await told()).message, /has no model a\/other@main/)
  assert.equal(await pull('a/b', {}, { HF_TOKEN: 'wrong' }), 2)
  assert.match((await told()).message, /HF_TOKEN of the Secret/)
})

test('copies from another volume', async () => {
  const from = join(folder, 'from')
  assert.equal(await pull('a/b', { to: from }), 0)
  assert.equal(await pull('a/b', { from }), 0)
  assert.equal((await readFile(join(folder, 'store/m.gguf'))).length, WEIGHTS.length)
  assert.equal(await pull('a/b', { from: join(folder, 'nothing') }), 2)
})
