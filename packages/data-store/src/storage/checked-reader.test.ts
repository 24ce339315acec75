// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { serve, silentLogger } from '@open-nemo/runtime'
import { startForTest } from '../testing.ts'
import { CheckedReader } from './checked-reader.ts'
import { FolderObjects } from './folder-objects.ts'

test('an LFS object that has changed on the disk breaks off, over a socket and in memory', async () => {
  const told: string[] = []
  const log = { ...silentLogger(), error: (facts: { path?: string }) => told.push(String(facts.path)) }
  const hub = await startForTest({ more: { log } })
  const listener = await serve({
    fetch: (request, bindings) => hub.app.fetch(request, bindings),
    host: '127.0.0.1',
    port: 0,
  })
  try {
    const id = 'team/large'
    await hub.client.createRepo({ type: 'dataset', id })
    // the last is hashed on the other thread
    for (const size of [5_000, 3_000_000, 34_000_000]) {
      const bytes = Buffer.alloc(size, `line ${size}\n`)
      const oid = createHash('sha256').update(bytes).digest('hex')
      const path = `/v1/hf/datasets/${id}/resolve/main/${size}.bin`
      const put = `/v1/hf/datasets/${id}/info/lfs/objects/${oid}`
      assert.equal((await hub.request(put, { method: 'PUT', body: bytes })).status, 200)
      await hub.commit(id, [{ key: 'lfsFile', value: { path: `${size}.bin`, algo: 'sha256', oid, size } }])
      const ways = [() => hub.request(path), () => fetch(`http://127.0.0.1:${listener.port}${path}`)]
      const all = async () => {
        const answers = await Promise.allSettled(ways.map(async (way) => (await way()).arrayBuffer()))
        return answers.map((one) => one.status === 'fulfilled' && Buffer.from(one.value).equals(bytes))
      }
      assert.deepEqual(await all(), [true, true])
      const stored = await find(hub.dir, oid)
      const damaged = await readFile(stored)
      damaged[size >> 1] = 0
      await chmod(stored, 0o644)
      await writeFile(stored, damaged)
      assert.deepEqual(await all(), [false, false])
      assert.ok(told.includes(stored))
      for (const way of ways) await assert.rejects(async () => (await way()).arrayBuffer())
      await writeFile(stored, bytes)
      assert.deepEqual(await all(), [true, true])
    }
  } finally {
    await listener.close()
    await hub.close()
  }
})

test('an object is hashed as it comes or at its first whole read, and not again', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nemo-objects-'))
  try {
    for (const size of [1_000, 33_000_000]) {
      const repo = String(size)
      await mkdir(join(dir, repo, 'lfs'), { recursive: true })
      const bytes = Buffer.alloc(size, 'abc')
      const oid = createHash('sha256').update(bytes).digest('hex')
      const objects = new FolderObjects(dir, silentLogger())
      await writeFile(join(dir, 'upload'), bytes)
      await objects.put(repo, oid, join(dir, 'upload'))
      const again = new FolderObjects(dir, silentLogger())
      const read = async (from: FolderObjects) => {
        const reader = await from.open(repo, oid, { start: 0, end: size })
        assert.ok(reader)
        // one block again and again, and a read past the end, as a caller may
        const block = Buffer.from(new SharedArrayBuffer(700_000))
        const hash = createHash('sha256')
        for (let n = await reader.read(block); n > 0; n = await reader.read(block))
          hash.update(block.subarray(0, n))
        await reader.close()
        assert.equal(hash.digest('hex'), oid)
        return reader instanceof CheckedReader
      }
      assert.deepEqual(
        [await read(objects), await read(again), await read(again)],
        [false, true, false],
        'which reads were checked',
      )
      // a download that ends early checks nothing and keeps nothing
      const early = await new FolderObjects(dir, silentLogger()).open(repo, oid, { start: 0, end: size })
      await early?.read(Buffer.alloc(500))
      await early?.close()
    }
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})

async function find(dir: string, name: string): Promise<string> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const found = entries.find((entry) => entry.name === name && !entry.parentPath.endsWith('pending'))
  assert.ok(found, `no file ${name}`)
  return join(found.parentPath, name)
}
