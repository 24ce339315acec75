// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, test } from 'node:test'
import { promisify } from 'node:util'
import { ConfigError, serve } from '@open-nemo/runtime'
import { file, startForTest } from '../testing.ts'
import { quotaLimits } from './quota.ts'

test('limits are bytes, with or without a unit', () => {
  const limit = (text: string) => quotaLimits({ NEMO_DATA_STORE_QUOTA_TOTAL: text }).total
  assert.deepEqual(['1000', '2kB', '500MB', '1.5GiB', '2 T', ''].map(limit), [
    1000,
    2000,
    500e6,
    1.5 * 2 ** 30,
    2e12,
    undefined,
  ])
  assert.throws(() => limit('much'), ConfigError)
})

const MB = 1_000_000

describe('quotas', () => {
  let hub: Awaited<ReturnType<typeof startForTest>>
  let dir: string
  const env = {
    NEMO_DATA_STORE_QUOTA_REPOSITORY: '4MB',
    NEMO_DATA_STORE_QUOTA_NAMESPACE: '6MB',
    NEMO_DATA_STORE_GC_AGE: '0',
  }
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nemo-quota-'))
    hub = await startForTest({ env })
    for (const id of ['a/one', 'a/two', 'b/one', 'g/git', 'm/from'])
      await hub.client.createRepo({ type: 'dataset', id })
  })
  after(async () => {
    await hub.close()
    await rm(dir, { recursive: true, force: true })
  })

  const batch = async (id: string, objects: { oid: string; size: number }[]) => {
    const answer = await hub.post(`/v1/hf/datasets/${id}.git/info/lfs/objects/batch`, {
      operation: 'upload',
      objects,
    })
    return (await answer.json()).objects as { error?: { code: number; message: string } }[]
  }
  const put = (id: string, content: Buffer, headers: Record<string, string> = {}) =>
    hub.request(`/v1/hf/datasets/${id}.git/info/lfs/objects/${sha(content)}`, {
      method: 'PUT',
      body: content as unknown as Uint8Array<ArrayBuffer>,
      headers,
    })
  const sha = (content: Buffer) => createHash('sha256').update(content).digest('hex')

  it('stop commits of the hub, of a repository and of a namespace, saying what is used and allowed', async () => {
    assert.equal((await hub.commit('a/one', [file('x', randomBytes(3 * MB))])).status, 200)
    const second = await hub.commit('a/one', [file('y', randomBytes(2 * MB))])
    const said = await second.json()
    assert.equal(second.status, 413)
    assert.match(said.error, /the repository a\/one holds 3\d{6} of at most 4000000 bytes/)
    assert.equal((await hub.commit('a/two', [file('x', randomBytes(2 * MB))])).status, 200)
    const third = await hub.commit('a/two', [file('y', randomBytes(1.5 * MB))])
    assert.match((await third.json()).error, /the namespace a holds 5\d{6} of at most 6000000 bytes/)
    assert.equal((await hub.commit('b/one', [file('x', randomBytes(3 * MB))])).status, 200)
    // what was refused left nothing
    assert.deepEqual(
      (await hub.client.listTree({ type: 'dataset', id: 'a/two' })).map((e) => e.path),
      ['x'],
    )
  })

  it('tell the preupload of the hub, before anything is sent', async () => {
    const answer = await hub.post(
      '/v1/hf/api/datasets/a/one/preupload/main',
      { files: [{ path: 'z.txt', size: 2 * MB, sample: '' }] },
      { 'user-agent': 'unknown/None; hf_hub/1.2.0; python/3.12' },
    )
    assert.equal(answer.status, 413)
  })

  it('refuse in the LFS batch what has no room, and let the rest in', async () => {
    const objects = [
      { oid: 'a'.repeat(64), size: 500_000 },
      { oid: 'b'.repeat(64), size: 900_000 },
      { oid: 'c'.repeat(64), size: 100_000 },
    ]
    const [first, second, third] = await batch('b/one', objects)
    assert.equal(first?.error, undefined)
    assert.equal(second?.error?.code, 413)
    assert.match(second?.error?.message ?? '', /the repository b\/one holds/)
    assert.equal(third?.error, undefined)
  })

  it('refuse an LFS object by its length, also one whose length shows only on the way', async () => {
    const content = randomBytes(1.2 * MB)
    assert.equal((await put('b/one', content, { 'content-length': String(content.length) })).status, 413)
    assert.equal((await put('b/one', content)).status, 413)
    const fits = randomBytes(500_000)
    assert.equal((await put('b/one', fits)).status, 200)
    // what is there already takes no room
    assert.equal((await put('b/one', fits)).status, 200)
    const left = await Promise.all(Array.from({ length: 6 }, () => put('b/one', randomBytes(200_000))))
    assert.ok(left.filter(({ status }) => status === 200).length <= 2)
  })

  it('refuse files of the OpenAI API in its own shape', async () => {
    const upload = async (bytes: number) => {
      const body = new FormData()
      body.append('purpose', 'fine-tune')
      body.append('file', new Blob([new Uint8Array(bytes).fill(65)]), 'x.jsonl')
      return hub.request('/v1/files', { method: 'POST', body })
    }
    assert.equal((await upload(3 * MB)).status, 200)
    const refused = await upload(5 * MB)
    assert.equal(refused.status, 413)
    const { error } = await refused.json()
    assert.equal(error.type, 'invalid_request_error')
    assert.equal(error.code, 'QUOTA_EXCEEDED')
    assert.match(error.message, /of at most/)
  })

  it('refuse a push with words that git shows', async () => {
    const listener = await serve({
      fetch: (request, bindings) => hub.app.fetch(request, bindings),
      host: '127.0.0.1',
      port: 0,
    })
    const git = async (...args: string[]) => {
      const options = {
        cwd: dir,
        env: { PATH: process.env.PATH, HOME: dir, GIT_CONFIG_NOSYSTEM: '1' },
        timeout: 60_000,
      }
      const { stdout, stderr } = await promisify(execFile)(
        'git',
        ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args],
        options,
      )
      return stdout + stderr
    }
    try {
      await git('clone', '-q', `http://127.0.0.1:${listener.port}/datasets/g/git`, 'work')
      await writeFile(join(dir, 'work/small.bin'), randomBytes(300_000))
      await git('-C', 'work', 'add', '.')
      await git('-C', 'work', 'commit', '-q', '-m', 'small')
      await git('-C', 'work', 'push', '-q')
      await writeFile(join(dir, 'work/large.bin'), randomBytes(5 * MB))
      await git('-C', 'work', 'add', '.')
      await git('-C', 'work', 'commit', '-q', '-m', 'large')
      await assert.rejects(git('-C', 'work', 'push'), (err: { stderr: string }) => {
        assert.match(err.stderr, /the repository g\/git holds 3\d{5} of at most 4000000 bytes/)
        assert.match(err.stderr, /! \[remote rejected\] main -> main/)
        return true
      })
      await git('-C', 'work', 'reset', '-q', '--hard', 'HEAD~1')
      await writeFile(join(dir, 'work/other.bin'), randomBytes(300_000))
      await git('-C', 'work', 'add', '.')
      await git('-C', 'work', 'commit', '-q', '-m', 'other')
      await git('-C', 'work', 'push', '-q')
    } finally {
      await listener.close()
    }
  })

  it('count anew after a start, follow a move, and get room back from a deletion', async () => {
    await hub.commit('m/from', [file('x', randomBytes(3 * MB))])
    const moved = await hub.post('/v1/hf/api/repos/move', {
      fromRepo: 'm/from',
      toRepo: 'n/to',
      type: 'dataset',
    })
    assert.equal(moved.status, 200)
    const again = await startForTest({ env, dir: hub.dir, db: hub.db })
    const over = await again.commit('n/to', [file('y', randomBytes(2 * MB))])
    assert.match((await over.json()).error, /the repository n\/to holds 3\d{6}/)
    await again.client.createRepo({ type: 'dataset', id: 'm/new' })
    assert.equal((await again.commit('m/new', [file('x', randomBytes(3.5 * MB))])).status, 200)
    const gone = await again.commit('n/to', [{ key: 'deletedFile', value: { path: 'x' } }])
    assert.equal(gone.status, 200)
    await again.post('/v1/hf/api/datasets/n/to/super-squash/main', { message: 'less' })
    await new Promise((resolve) => setTimeout(resolve, 1100))
    const freed = await (await again.post('/v1/datastore/collect', {})).json()
    assert.ok(freed.lfs_bytes >= 3 * MB, JSON.stringify(freed))
    assert.equal((await again.commit('n/to', [file('y', randomBytes(2 * MB))])).status, 200)
    await again.stop()
  })
})
