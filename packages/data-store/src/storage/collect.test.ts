// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { file, startForTest } from '../testing.ts'

const ROUNDS = Number(process.env.NEMO_KILL_ROUNDS ?? 2)
const SIZE = 1_100_000

describe('the collection of garbage', () => {
  let hub: Awaited<ReturnType<typeof startForTest>>
  before(async () => {
    hub = await startForTest({ env: { NEMO_DATA_STORE_GC_AGE: '0' } })
  })
  after(() => hub.close())

  const collect = async (on = hub) => (await on.post('/v1/datastore/collect', {})).json()
  const sha = (content: Uint8Array) => createHash('sha256').update(content).digest('hex')
  const dirOf = async (name: string) => {
    const [row] = await hub.db.query<{ id: string }>('SELECT id FROM data_store.repos WHERE name = $1', [
      name,
    ])
    return join(hub.dir, 'repos', row?.id ?? '')
  }
  const get = async (id: string, path: string, revision = 'main') => {
    const answer = await hub.request(`/v1/hf/datasets/${id}/resolve/${revision}/${path}`)
    return answer.ok ? Buffer.from(await answer.arrayBuffer()) : undefined
  }
  const commit = async (id: string, lines: unknown[], branch = 'main') => {
    const answer = await hub.commit(id, lines, branch)
    assert.equal(answer.status, 200)
    return (await answer.json()).commitOid as string
  }

  it('keeps what any commit of any branch, tag or pull request has, and takes the rest', async () => {
    const id = 'gc/refs'
    await hub.client.createRepo({ type: 'dataset', id })
    const contents = Object.fromEntries(
      ['old', 'branch', 'tag', 'pull', 'lost'].map((name) => [name, randomBytes(SIZE)]),
    )
    const of = (name: string) => file('x.bin', contents[name] ?? '')
    const old = await commit(id, [of('old')])
    for (const name of ['branch', 'tag', 'lost'])
      await hub.post(`/v1/hf/api/datasets/${id}/branch/${name}1`, { startingPoint: old })
    await commit(id, [of('branch')], 'branch1')
    const tagged = await commit(id, [of('tag')], 'tag1')
    const lost = await commit(id, [of('lost')], 'lost1')
    await hub.post(`/v1/hf/api/datasets/${id}/tag/${tagged}`, { tag: 'v1' })
    await hub.request(`/v1/hf/api/datasets/${id}/commit/main?create_pr=1`, {
      method: 'POST',
      body: [{ key: 'header', value: { summary: 'pull' } }, of('pull')]
        .map((l) => JSON.stringify(l))
        .join('\n'),
    })
    await commit(id, [{ key: 'deletedFile', value: { path: 'x.bin' } }])
    for (const name of ['tag1', 'lost1'])
      await hub.request(`/v1/hf/api/datasets/${id}/branch/${name}`, { method: 'DELETE' })
    // git counts the age of objects in whole seconds
    await sleep(1100)
    const freed = await collect()
    assert.equal(freed.lfs_objects, 1)
    assert.equal(freed.lfs_bytes, SIZE)
    assert.ok(freed.git_objects >= 3)
    const kept = { old, branch: 'branch1', tag: 'v1', pull: 'refs/pr/1' }
    for (const [name, revision] of Object.entries(kept))
      assert.ok(
        (await get(id, 'x.bin', encodeURIComponent(revision)))?.equals(contents[name] ?? Buffer.of()),
        name,
      )
    assert.equal(await get(id, 'x.bin', lost), undefined)
    execFileSync('git', [`--git-dir=${await dirOf('refs')}`, 'fsck', '--strict'], { stdio: 'pipe' })
    assert.deepEqual(await collect(), { ...freed, git_objects: 0, lfs_objects: 0, lfs_bytes: 0 })
  })

  it('leaves alone what is young, and what an upload was told is here', async () => {
    const id = 'gc/young'
    await hub.client.createRepo({ type: 'dataset', id })
    const content = randomBytes(1000)
    const oid = sha(content)
    const put = await hub.request(`/v1/hf/datasets/${id}/info/lfs/objects/${oid}`, {
      method: 'PUT',
      body: content as unknown as Uint8Array<ArrayBuffer>,
    })
    assert.equal(put.status, 200)
    const careful = await startForTest({ dir: hub.dir, db: hub.db })
    assert.equal((await collect(careful)).lfs_objects, 0)
    await careful.stop()
    await commit(id, [{ key: 'lfsFile', value: { path: 'y.bin', algo: 'sha256', oid, size: 1000 } }])
    assert.ok((await get(id, 'y.bin'))?.equals(content))
  })

  it('takes nothing from commits that come at the same time, alike or not', async () => {
    const id = 'gc/busy'
    await hub.client.createRepo({ type: 'dataset', id })
    const same = randomBytes(SIZE)
    let done = false
    const collecting = (async () => {
      while (!done) await collect()
    })()
    const made: string[] = []
    for (let i = 0; i < 12; i++) {
      made.push(await commit(id, [file('same.bin', same), file(`n${i}.txt`, `${i}`)]))
      await commit(id, [{ key: 'deletedFile', value: { path: 'same.bin' } }])
      if (i % 4 === 3) await hub.post(`/v1/hf/api/datasets/${id}/super-squash/main`, {})
    }
    await commit(id, [file('same.bin', same)])
    done = true
    await collecting
    assert.ok((await get(id, 'same.bin'))?.equals(same))
    for (let i = 0; i < 12; i++) assert.equal(String(await get(id, `n${i}.txt`)), String(i))
    execFileSync('git', [`--git-dir=${await dirOf('busy')}`, 'fsck', '--strict'], { stdio: 'pipe' })
  })

  it('may be killed at any moment', async () => {
    const home = await mkdtemp(join(tmpdir(), 'nemo-gc-'))
    const kept = new Map<string, string>()
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const child = spawn(process.execPath, [join(import.meta.dirname, 'collect-writer.ts'), home], {
          stdio: ['ignore', 'pipe', 'inherit'],
        })
        const exited = new Promise((resolve) => child.once('exit', resolve))
        const kill = () => child.kill('SIGKILL')
        let killing = false
        for await (const line of createInterface({ input: child.stdout })) {
          if (!killing) setTimeout(kill, 150 + Math.random() * 700)
          killing = true
          const [path = '', oid = ''] = line.split(' ')
          kept.set(path, oid)
        }
        await exited
      }
      const { openWriterHome } = await import('./collect-writer.ts')
      const { store, db } = await openWriterHome(home)
      await store.post('/v1/datastore/collect', {})
      for (const [path, oid] of kept) {
        const answer = await store.request(`/v1/hf/datasets/gc/kill/resolve/main/${path}`)
        assert.equal(sha(new Uint8Array(await answer.arrayBuffer())), oid, path)
      }
      assert.ok(kept.size > 0)
      const [row] = await db.query<{ id: string }>('SELECT id FROM data_store.repos')
      const gitDir = join(home, 'data', 'repos', row?.id ?? '')
      assert.ok(await stat(gitDir))
      execFileSync('git', [`--git-dir=${gitDir}`, 'fsck', '--strict', '--no-dangling'], { stdio: 'pipe' })
      await store.stop()
      await db.close()
    } finally {
      await rm(home, { recursive: true, force: true })
    }
  })
})
