// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { serve, silentLogger } from '@open-nemo/runtime'
import { startForTest } from '../testing.ts'

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
    for (const size of [5_000, 3_000_000]) {
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

async function find(dir: string, name: string): Promise<string> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const found = entries.find((entry) => entry.name === name && !entry.parentPath.endsWith('pending'))
  assert.ok(found, `no file ${name}`)
  return join(found.parentPath, name)
}
