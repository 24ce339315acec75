// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { file, startForTest } from '../testing.ts'
import { Prune } from './prune.ts'

/** How long git takes to pack while the test says so. */
const SLOW_S = 2.5

/** Lines of a commit with a pause before the last. */
function slowly(seconds: number, ...lines: unknown[]): ReadableStream<Uint8Array> {
  const bytes = lines.map((line) => Buffer.from(`${JSON.stringify(line)}\n`))
  return new ReadableStream({
    async pull(controller) {
      const next = bytes.shift()
      if (bytes.length === 0) await sleep(seconds * 1000)
      if (next) controller.enqueue(next)
      else controller.close()
    },
  })
}

describe('the removal of what no ref reaches', () => {
  let hub: Awaited<ReturnType<typeof startForTest>>
  let dir: string
  const path = process.env.PATH ?? ''
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nemo-prune-'))
    hub = await startForTest({ env: { NEMO_DATA_STORE_GC_AGE: '0' } })
  })
  after(async () => {
    process.env.PATH = path
    await hub.close()
    await rm(dir, { recursive: true, force: true })
  })

  const commit = async (id: string, name: string, branch = 'main') => {
    const answer = await hub.commit(id, [file(name, `content of ${name}`)], branch)
    assert.equal(answer.status, 200)
    return (await answer.json()).commitOid as string
  }
  const branch = (id: string, name: string, startingPoint: string) =>
    hub.post(`/v1/hf/api/datasets/${id}/branch/${name}`, { startingPoint })
  const drop = (id: string, name: string) =>
    hub.request(`/v1/hf/api/datasets/${id}/branch/${name}`, { method: 'DELETE' })
  const get = async (id: string, name: string, revision = 'main') => {
    const answer = await hub.request(`/v1/hf/datasets/${id}/resolve/${revision}/${name}`)
    return answer.ok ? await answer.text() : undefined
  }
  /** A repository with a commit on main, and one that no branch leads to any more. */
  async function withGarbage(id: string) {
    await hub.client.createRepo({ type: 'dataset', id })
    const kept = await commit(id, 'kept.txt')
    await branch(id, 'gone', kept)
    const lost = await commit(id, 'lost.txt', 'gone')
    await drop(id, 'gone')
    const name = id.split('/')[1]
    const [row] = await hub.db.query<{ id: string }>('SELECT id FROM data_store.repos WHERE name = $1', [
      name,
    ])
    return { gitDir: join(hub.dir, 'repos', row?.id ?? ''), lost }
  }
  const git = (gitDir: string, ...args: string[]) =>
    execFileSync('git', [`--git-dir=${gitDir}`, ...args], { encoding: 'utf8', stdio: 'pipe' })
  const prepare = async (gitDir: string) => {
    // git counts the age of objects in whole seconds
    await sleep(1100)
    return await Prune.prepare(gitDir, { time: Date.now(), scratch: join(dir, 'scratch') })
  }

  it('takes what was lost, and nothing of what has come meanwhile', async () => {
    const id = 'prune/plain'
    const { gitDir, lost } = await withGarbage(id)
    await hub.post(`/v1/hf/api/datasets/${id}/super-squash/main`, {})
    const prune = await prepare(gitDir)
    await commit(id, 'meanwhile.txt')
    await hub.post(`/v1/hf/api/datasets/${id}/tag/main`, { tag: 'v1', message: 'a tag is a loose object' })
    await writeFile(join(gitDir, 'objects', 'pack', 'tmp_pack_killed'), 'x')
    assert.equal(await prune.finish(), true)
    for (const name of ['kept.txt', 'meanwhile.txt']) assert.equal(await get(id, name), `content of ${name}`)
    assert.throws(() => git(gitDir, 'cat-file', '-e', lost))
    git(gitDir, 'fsck', '--strict')
    assert.equal(git(gitDir, 'cat-file', '-t', 'v1').trim(), 'tag')
    assert.ok(!(await readdir(join(gitDir, 'objects', 'pack'))).includes('tmp_pack_killed'))
  })

  it('takes nothing when a ref has come to lead to what would go', async () => {
    const id = 'prune/back'
    const { gitDir, lost } = await withGarbage(id)
    const packs = await readdir(join(gitDir, 'objects', 'pack'))
    const prune = await prepare(gitDir)
    assert.equal((await branch(id, 'back', lost)).status, 200)
    assert.equal(await prune.finish(), false)
    assert.equal(await get(id, 'lost.txt', 'back'), 'content of lost.txt')
    git(gitDir, 'fsck', '--strict')
    assert.deepEqual((await readdir(join(gitDir, 'objects', 'pack'))).sort(), packs.sort())
    // The next one sees it as reachable.
    assert.equal(await (await prepare(gitDir)).finish(), true)
    assert.equal(await get(id, 'lost.txt', 'back'), 'content of lost.txt')
  })

  it('keeps what is young', async () => {
    const { gitDir, lost } = await withGarbage('prune/young')
    const prune = await Prune.prepare(gitDir, { time: Date.now() - 60_000, scratch: join(dir, 'scratch') })
    assert.equal(await prune.finish(), true)
    assert.equal(git(gitDir, 'cat-file', '-t', lost).trim(), 'commit')
    assert.equal(await (await prepare(gitDir)).finish(), true)
    assert.throws(() => git(gitDir, 'cat-file', '-e', lost))
  })

  it('lets commits and pushes go on while a large repository is packed', async () => {
    const id = 'prune/large'
    const { gitDir, lost } = await withGarbage(id)
    const real = execFileSync('which', ['git'], { encoding: 'utf8' }).trim()
    const delay = `case " $* " in *" pack-objects "*|*" repack "*) sleep ${SLOW_S};; esac`
    await writeFile(join(dir, 'git'), `#!/bin/sh\n${delay}\nexec ${real} "$@"\n`)
    await chmod(join(dir, 'git'), 0o755)
    process.env.PATH = `${dir}:${path}`
    const begun = performance.now()
    const collecting = hub.post('/v1/datastore/collect', {})
    await sleep(300)
    await commit(id, 'during.txt')
    const took = performance.now() - begun
    assert.ok(took < 1000 * SLOW_S, `the commit waited ${took} ms`)
    // One that is still being received at the end of the packing keeps the old packs until it is there.
    const slow = hub.request(`/v1/hf/api/datasets/${id}/commit/main`, {
      method: 'POST',
      body: slowly(
        2 * SLOW_S,
        { key: 'header', value: { summary: 'slow' } },
        file('slow.txt', 'content of slow.txt'),
      ),
      duplex: 'half',
    } as RequestInit)
    const { git_objects } = await (await collecting).json()
    process.env.PATH = path
    assert.ok(git_objects >= 3, `${git_objects}`)
    assert.equal((await slow).status, 200)
    assert.equal(await get(id, 'slow.txt'), 'content of slow.txt')
    assert.throws(() => git(gitDir, 'cat-file', '-e', lost))
    assert.equal(await get(id, 'during.txt'), 'content of during.txt')
    git(gitDir, 'fsck', '--strict')
  })
})
