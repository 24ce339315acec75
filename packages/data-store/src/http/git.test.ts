// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { startForGit } from '../git.testing.ts'
import { file } from '../testing.ts'

const lfs = isInstalled('git', ['lfs', 'version'])

describe('git over HTTP', () => {
  let server: Awaited<ReturnType<typeof startForGit>>
  let hub: typeof server.hub
  let url: string
  let dir: string
  const git = (cwd: string, ...args: string[]) => server.git(cwd, ...args)
  const clone = (path: string, name: string) => server.clone(path, name)

  before(async () => {
    server = await startForGit({ NEMO_DATA_STORE_GC_AGE: '0' })
    ;({ hub, url, dir } = server)
    await hub.client.createRepo({ type: 'dataset', id: 'team/data' })
    await hub.client.createRepo({ type: 'model', id: 'team/model' })
  })
  after(() => server.close())

  it('clones what the hub committed and pushes what the hub then serves', async () => {
    await hub.commit('team/data', [file('a.txt', 'one')])
    const work = await clone('/v1/hf/datasets/team/data', 'first')
    assert.equal(await readFile(join(work, 'a.txt'), 'utf8'), 'one')
    await writeFile(join(work, 'a.txt'), 'two')
    await writeFile(join(work, 'b.bin'), Buffer.alloc(3_000_000, 7))
    await git(work, 'add', '.')
    await git(work, 'commit', '-q', '-m', 'by git')
    await git(work, 'tag', 'v1')
    await git(work, 'push', '-q', 'origin', 'main', 'v1')
    const read = async (path: string, revision = 'main') =>
      (await hub.request(`/v1/hf/datasets/team/data/resolve/${revision}/${path}`)).text()
    assert.equal(await read('a.txt'), 'two')
    assert.equal(await read('a.txt', 'v1'), 'two')
    assert.equal((await read('b.bin')).length, 3_000_000)
    await hub.commit('team/data', [file('c.txt', 'three')])
    await git(work, 'pull', '-q')
    assert.equal(await readFile(join(work, 'c.txt'), 'utf8'), 'three')
  })

  it('answers at the root too, with and without .git', async () => {
    await clone('/team/data.git', 'root')
    await clone('/datasets/team/data.git', 'typed')
    await clone('/v1/hf/team/model', 'model')
    await assert.rejects(clone('/team/missing', 'missing'), /not found/)
  })

  it('refuses a body that is not the gzip it claims to be', async () => {
    const whole = gzipSync('0000')
    for (const [body, status] of [
      [whole, 200],
      [whole.subarray(0, -6), 400],
      [Buffer.from('junk'), 400],
    ] as const) {
      const response = await fetch(`${url}/team/data/git-upload-pack`, {
        method: 'POST',
        headers: { 'content-encoding': 'gzip' },
        body,
      })
      assert.equal(response.status, status)
      if (status === 400) assert.equal((await response.json()).code, 'GIT_ENCODING')
      else await response.text()
    }
  })

  it('refuses a push that is behind, and lets one of two at once win', async () => {
    const [one, two] = [await clone('/team/data', 'one'), await clone('/team/data', 'two')]
    for (const work of [one, two]) await git(work, 'commit', '-q', '--allow-empty', '-m', work)
    const ends = await Promise.allSettled([git(one, 'push', '-q'), git(two, 'push', '-q')])
    assert.deepEqual(ends.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  })

  it('keeps all that a push brought or relies on while garbage of any age is collected', async () => {
    const work = await clone('/v1/hf/team/model', 'collected')
    for (const branch of ['one', 'two']) {
      await git(work, 'checkout', '-q', '-b', branch, 'origin/main')
      await writeFile(join(work, `${branch}.txt`), `content of ${branch}`)
      await git(work, 'add', '.')
      await git(work, 'commit', '-q', '-m', branch)
    }
    let done = false
    let freed = 0
    const collect = async () => {
      freed += (await (await hub.post('/v1/datastore/collect', {})).json()).git_objects
    }
    const collecting = (async () => {
      while (!done) await collect()
    })()
    // Each push makes garbage of what the other brought, and brings its own back.
    for (let i = 0; i < 8; i++) {
      const branch = i % 2 === 0 ? 'one' : 'two'
      await git(work, 'push', '-q', '--force', 'origin', `${branch}:main`)
      const served = await hub.request(`/v1/hf/team/model/resolve/main/${branch}.txt`)
      assert.equal(await served.text(), `content of ${branch}`)
    }
    done = true
    await collecting
    // git counts the age of objects in whole seconds
    await sleep(1100)
    await collect()
    await git(await clone('/v1/hf/team/model', 'whole'), 'fsck', '--strict')
    assert.ok(freed > 0, 'nothing was collected')
  })

  it('refuses refs, paths and objects that the store cannot hold', async () => {
    const work = await clone('/team/data', 'bad')
    await assert.rejects(git(work, 'push', 'origin', 'HEAD:refs/pr/7'), /refs\/pr\/7/)
    await assert.rejects(git(work, 'push', 'origin', ':main'), /main/)
    await writeFile(join(work, 'back\\slash'), 'x')
    await git(work, 'add', '.')
    await git(work, 'commit', '-q', '-m', 'bad path')
    await assert.rejects(git(work, 'push'), /backslash/)
    await git(work, 'reset', '-q', '--hard', 'origin/main')
    const oid = 'ab'.repeat(32)
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize 12345\n`
    await writeFile(join(work, 'weights.bin'), pointer)
    await git(work, 'add', '.')
    await git(work, 'commit', '-q', '-m', 'a pointer to nothing')
    await assert.rejects(git(work, 'push'), /weights\.bin points to the LFS object .* not here/)
    const before = await hub.request('/v1/hf/datasets/team/data/resolve/main/weights.bin')
    assert.equal(before.status, 404)
  })

  it('pushes and clones LFS objects', { skip: lfs ? false : 'git-lfs is not installed' }, async () => {
    const work = await clone('/v1/hf/team/model.git', 'large')
    await git(work, 'lfs', 'install', '--local')
    await git(work, 'lfs', 'track', '*.bin')
    await writeFile(join(work, 'weights.bin'), Buffer.alloc(200_000, 3))
    await git(work, 'add', '.')
    await git(work, 'commit', '-q', '-m', 'weights')
    await git(work, 'push', '-q', 'origin', 'main')
    const served = await hub.request('/v1/hf/team/model/resolve/main/weights.bin')
    assert.equal((await served.arrayBuffer()).byteLength, 200_000)
    await git(dir, 'lfs', 'install')
    const again = await clone('/v1/hf/team/model.git', 'again')
    assert.equal((await readFile(join(again, 'weights.bin'))).length, 200_000)
  })

  it('has no dumb protocol, and refuses a body that is no request of git', async () => {
    assert.equal((await hub.request('/team/data/info/refs')).status, 403)
    assert.equal((await hub.request('/team/data/info/refs?service=git-shell')).status, 403)
    const bad = await hub.request('/team/data/git-upload-pack', { method: 'POST', body: 'nonsense' })
    assert.equal(bad.headers.get('content-type'), 'application/x-git-upload-pack-result')
    assert.doesNotMatch(await bad.text(), /PACK/)
  })
})

function isInstalled(program: string, args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
