// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { ConfigError, serve } from '@open-nemo/runtime'
import { findMinio, startMinio } from '../minio.testing.ts'
import { file, startForTest } from '../testing.ts'

const program = findMinio()
const skip = program ? false : 'MinIO is not built: nemoctl lab up does so'
const BIG = 40 * 1024 * 1024 + 7

describe('LFS objects in a bucket', { skip }, () => {
  let minio: Awaited<ReturnType<typeof startMinio>>
  let hub: Awaited<ReturnType<typeof startForTest>>
  let dir: string
  const big = Buffer.alloc(BIG, randomBytes(64 * 1024))
  const bigOid = createHash('sha256').update(big).digest('hex')

  before(async () => {
    minio = await startMinio(program ?? '')
    dir = await mkdtemp(join(tmpdir(), 'nemo-s3-'))
    hub = await startForTest({ env: minio.env('models') })
    await hub.client.createRepo({ type: 'dataset', id: 'team/data' })
  })
  after(async () => {
    await hub?.close()
    await minio?.stop()
    await rm(dir, { recursive: true, force: true })
  })

  const put = (path: string, oid: string, body: Uint8Array) =>
    hub.request(`${path}/info/lfs/objects/${oid}`, {
      method: 'PUT',
      body: body as Uint8Array<ArrayBuffer>,
      headers: { 'content-length': String(body.length) },
    })
  const lfsFile = (path: string, oid: string, size: number) => ({
    key: 'lfsFile',
    value: { path, algo: 'sha256', oid, size },
  })
  const RESOLVE = '/v1/hf/datasets/team/data/resolve/main'

  it('takes large ones in parts, gives any range of them, and keeps none in its folder', async () => {
    assert.equal((await put('/v1/hf/datasets/team/data', bigOid, big)).status, 200)
    assert.equal((await hub.commit('team/data', [lfsFile('big.bin', bigOid, BIG)])).status, 200)
    const whole = Buffer.from(await (await hub.request(`${RESOLVE}/big.bin`)).arrayBuffer())
    assert.equal(createHash('sha256').update(whole).digest('hex'), bigOid)
    for (const [from, to] of [
      [0, 0],
      [BIG - 1, BIG - 1],
      [1_048_575, 3_000_001],
    ] as const) {
      const part = await hub.request(`${RESOLVE}/big.bin`, { headers: { range: `bytes=${from}-${to}` } })
      assert.equal(part.status, 206)
      assert.ok(Buffer.from(await part.arrayBuffer()).equals(big.subarray(from, to + 1)))
    }
    const [repo] = await hub.db.query<{ id: string }>('SELECT id FROM data_store.repos')
    await assert.rejects(stat(join(hub.dir, 'repos', repo?.id ?? '', 'lfs', bigOid.slice(0, 2))))
  })

  it('refuses bytes that are not what their name says, and a pointer to what is not there', async () => {
    const other = Buffer.from('something else')
    const bad = await put('/v1/hf/datasets/team/data', 'ab'.repeat(32), other)
    assert.equal(bad.status, 400)
    const missing = await hub.commit('team/data', [lfsFile('no.bin', 'ab'.repeat(32), other.length)])
    assert.equal(missing.headers.get('x-error-code'), 'LFS_MISSING')
    const oid = createHash('sha256').update(other).digest('hex')
    assert.equal((await put('/v1/hf/datasets/team/data', oid, other)).status, 200)
    const short = await hub.commit('team/data', [lfsFile('no.bin', oid, 3)])
    assert.equal(short.headers.get('x-error-code'), 'LFS_SIZE')
  })

  it('is asked by the check of pushes', async () => {
    const listener = await serve({
      fetch: (request, bindings) => hub.app.fetch(request, bindings),
      host: '127.0.0.1',
      port: 0,
    })
    const git = (...args: string[]) =>
      promisify(execFile)('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
        cwd: dir,
        env: { PATH: process.env.PATH, HOME: dir, GIT_CONFIG_NOSYSTEM: '1' },
        timeout: 60_000,
      })
    try {
      await git('clone', '-q', `http://127.0.0.1:${listener.port}/datasets/team/data`, 'work')
      const pointer = (oid: string) =>
        `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${BIG}\n`
      await writeFile(join(dir, 'work/copy.bin'), pointer(bigOid))
      await git('-C', 'work', 'add', '.')
      await git('-C', 'work', 'commit', '-q', '-m', 'one that is there')
      await git('-C', 'work', 'push', '-q')
      await writeFile(join(dir, 'work/copy.bin'), pointer('cd'.repeat(32)))
      await git('-C', 'work', 'commit', '-q', '-a', '-m', 'one that is not')
      await assert.rejects(git('-C', 'work', 'push', '-q'), /copy\.bin points to the LFS object/)
    } finally {
      await listener.close()
    }
    const served = await hub.request(`${RESOLVE}/copy.bin`, { method: 'HEAD' })
    assert.equal(served.headers.get('x-linked-etag'), `"${bigOid}"`)
  })

  it('moves with its repository, and goes with it', async () => {
    await hub.client.createRepo({ type: 'dataset', id: 'team/old' })
    const content = randomBytes(2_000_000)
    await hub.commit('team/old', [file('x.bin', content)])
    const moved = await hub.post('/v1/hf/api/repos/move', {
      fromRepo: 'team/old',
      toRepo: 'crew/new',
      type: 'dataset',
    })
    assert.equal(moved.status, 200)
    const served = await hub.request('/v1/hf/datasets/crew/new/resolve/main/x.bin')
    assert.ok(Buffer.from(await served.arrayBuffer()).equals(content))
    const freed = await hub.post('/v1/datastore/collect', {})
    assert.equal(freed.status, 200)
    assert.equal((await hub.request('/v1/hf/datasets/crew/new/resolve/main/x.bin')).status, 200)
    await hub.request('/v1/hf/api/repos/delete', {
      method: 'DELETE',
      body: JSON.stringify({ name: 'new', organization: 'crew', type: 'dataset' }),
      headers: { 'content-type': 'application/json' },
    })
    assert.equal((await hub.request('/v1/hf/datasets/crew/new/resolve/main/x.bin')).status, 404)
  })

  it('answers 503 while the bucket is away, loses nothing, and goes on afterwards', async () => {
    await minio.kill()
    const content = randomBytes(100_000)
    const oid = createHash('sha256').update(content).digest('hex')
    const refused = await put('/v1/hf/datasets/team/data', oid, content)
    assert.equal(refused.status, 503)
    assert.ok(refused.headers.get('retry-after'))
    assert.equal(refused.headers.get('x-error-code'), 'STORAGE_UNAVAILABLE')
    assert.equal((await hub.request(`${RESOLVE}/big.bin`)).status, 503)
    await minio.restart()
    assert.equal((await put('/v1/hf/datasets/team/data', oid, content)).status, 200)
    const tail = await hub.request(`${RESOLVE}/big.bin`, { headers: { range: 'bytes=-5' } })
    assert.ok(Buffer.from(await tail.arrayBuffer()).equals(big.subarray(-5)))
  })

  it('takes over what an earlier start kept in the folder, and is not left without notice', async () => {
    const first = await startForTest()
    const content = randomBytes(3_000_000)
    await first.client.createRepo({ type: 'model', id: 'team/m' })
    await first.client.commit({
      type: 'model',
      id: 'team/m',
      message: 'm',
      files: [{ path: 'w.bin', content }],
    })
    await first.stop()
    const second = await startForTest({ dir: first.dir, db: first.db, env: minio.env('second') })
    const read = async () =>
      Buffer.from(await (await second.request('/v1/hf/team/m/resolve/main/w.bin')).arrayBuffer())
    assert.ok((await read()).equals(content))
    const oid = createHash('sha256').update(content).digest('hex')
    const [repo] = await first.db.query<{ id: string }>('SELECT id FROM data_store.repos')
    const local = join(first.dir, 'repos', repo?.id ?? '', 'lfs', oid.slice(0, 2), oid.slice(2, 4), oid)
    for (let i = 0; i < 200 && (await stat(local).catch(() => undefined)); i++)
      await new Promise((resolve) => setTimeout(resolve, 25))
    await assert.rejects(stat(local))
    assert.ok((await read()).equals(content))
    await second.stop()
    await assert.rejects(startForTest({ dir: first.dir, db: first.db }), ConfigError)
    await first.db.close()
    await rm(first.dir, { recursive: true, force: true })
  })

  it('says what is wrong with its settings', async () => {
    const env = minio.env('models')
    const wrong = { ...env, NEMO_DATA_STORE_S3_SECRET_ACCESS_KEY: 'wrong' }
    await assert.rejects(
      startForTest({ env: wrong, db: hub.db }),
      /cannot be used: it refuses the access key/,
    )
    const half = { ...env, NEMO_DATA_STORE_S3_ACCESS_KEY_ID: '' }
    await assert.rejects(startForTest({ env: half, db: hub.db }), /set both/)
  })

  it('is reached by TLS with a CA of its own and keys in files', async () => {
    const certs = join(dir, 'certs')
    await mkdir(certs)
    const subject = ['-subj', '/CN=minio', '-addext', 'subjectAltName=IP:127.0.0.1']
    const out = ['-keyout', join(certs, 'private.key'), '-out', join(certs, 'public.crt')]
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...out],
      {
        stdio: 'ignore',
      },
    )
    const safe = await startMinio(program ?? '', certs)
    try {
      const [id, secret] = [join(dir, 'id'), join(dir, 'secret')]
      await writeFile(id, `${safe.keys.id}\n`)
      await writeFile(secret, `${safe.keys.secret}\n`)
      const env = {
        ...safe.env('tls'),
        NEMO_DATA_STORE_S3_ACCESS_KEY_ID: '',
        NEMO_DATA_STORE_S3_SECRET_ACCESS_KEY: '',
        NEMO_DATA_STORE_S3_ACCESS_KEY_ID_FILE: id,
        NEMO_DATA_STORE_S3_SECRET_ACCESS_KEY_FILE: secret,
      }
      await assert.rejects(startForTest({ env, db: hub.db }), /self-signed certificate/)
      const store = await startForTest({
        env: { ...env, NEMO_DATA_STORE_S3_CA_FILE: join(certs, 'public.crt') },
      })
      const content = randomBytes(1_500_000)
      await store.client.createRepo({ type: 'dataset', id: 'a/b' })
      assert.equal((await store.commit('a/b', [file('c.bin', content)])).status, 200)
      const served = await store.request('/v1/hf/datasets/a/b/resolve/main/c.bin')
      assert.ok(Buffer.from(await served.arrayBuffer()).equals(content))
      await store.close()
    } finally {
      await safe.stop()
    }
  })
})
