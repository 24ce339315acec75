// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rename, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openMemoryDatabase } from '@open-nemo/runtime'
import { git } from './git/run.ts'
import { file, startForTest } from './testing.ts'

const db = await openMemoryDatabase()
const hub = await startForTest({ db })
after(async () => {
  await hub.close()
  await db.close()
})

let count = 0
async function dataset(): Promise<string> {
  const id = `ns/set${++count}`
  await hub.client.createRepo({ type: 'dataset', id })
  return id
}
const api = (id: string) => `/v1/hf/api/datasets/${id}`
const resolve = (id: string, path: string, init?: RequestInit, revision = 'main') =>
  hub.request(`/v1/hf/datasets/${id}/resolve/${revision}/${path}`, init)
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
async function errorOf(
  response: Response,
  status: number,
): Promise<{ detail: string; code: string; error: string }> {
  const body = (await response.json()) as { detail: string; code: string; error: string }
  assert.equal(response.status, status, JSON.stringify(body))
  return body
}
async function gitDirOf(id: string): Promise<string> {
  const [row] = await db.query<{ id: string }>('SELECT id FROM data_store.repos WHERE name = $1', [
    id.split('/')[1],
  ])
  return join(hub.dir, 'repos', row?.id ?? '')
}

test('namespaces: form and JSON, 201 for reading, 409 once taken, in use until empty', async () => {
  const form = await hub.request('/v1/datastore/namespaces', {
    method: 'POST',
    body: new URLSearchParams({ namespace: 'spaces1' }),
  })
  assert.equal(form.status, 201)
  assert.deepEqual(Object.keys(await form.json()), ['namespace', 'created_at', 'updated_at'])
  const again = await hub.post('/v1/datastore/namespaces', { namespace: 'spaces1' })
  assert.match((await errorOf(again, 409)).error, /already exists/)
  assert.equal(again.headers.get('x-should-retry'), 'false')
  assert.equal((await hub.post('/v1/datastore/namespaces', { namespace: 'Spaces1' })).status, 409)
  assert.equal((await hub.request('/v1/datastore/namespaces/spaces1')).status, 201)
  await hub.client.createRepo({ type: 'model', id: 'spaces1/m' })
  const del = () => hub.request('/v1/datastore/namespaces/spaces1', { method: 'DELETE' })
  await errorOf(await del(), 409)
  await hub.client.deleteRepo({ type: 'model', id: 'spaces1/m' })
  assert.equal((await del()).status, 200)
  await errorOf(await del(), 404)
  assert.equal((await hub.request('/v1/datastore/namespaces/')).status, 200)
  await errorOf(await hub.post('/v1/datastore/namespaces', { namespace: '../x' }), 400)
})

test('repositories: relative url, also in the 409 that exist_ok reads; case clashes; deleting', async () => {
  const body = { name: 'r', organization: 'ns', type: 'dataset' }
  const made = await hub.post('/v1/hf/api/repos/create', body)
  assert.equal(((await made.json()) as { url: string }).url, 'datasets/ns/r')
  const taken = await hub.post('/v1/hf/api/repos/create', body)
  assert.equal(((await taken.json()) as { url: string }).url, 'datasets/ns/r')
  assert.equal(taken.status, 409)
  await errorOf(await hub.post('/v1/hf/api/repos/create', { ...body, name: 'R' }), 409)
  assert.equal((await hub.post('/v1/hf/api/repos/create', { name: 'r', organization: 'ns' })).status, 200)
  await errorOf(await hub.post('/v1/hf/api/repos/create', { ...body, name: 'a..b' }), 400)
  assert.equal((await hub.request(`${api('ns/r')}`, { method: 'DELETE' })).status, 200)
  const gone = await hub.request(api('ns/r'))
  assert.equal(gone.headers.get('x-error-code'), 'RepoNotFound')
  assert.equal((await hub.request('/v1/hf/api/models/ns/r')).status, 200)
})

test('a commit adds, replaces and deletes; what it does not name stays', async () => {
  const id = await dataset()
  await hub.commit(id, [file('a.txt', 'one'), file('dir/b.txt', 'two'), file('dir/sub/c "q" ü.txt', 'three')])
  const second = await hub.commit(id, [
    file('a.txt', 'ONE'),
    { key: 'deletedFolder', value: { path: 'dir/sub/' } },
    { key: 'file', value: { path: 'plain', content: 'text é', encoding: 'utf-8' } },
  ])
  assert.equal(second.status, 200)
  const { commitUrl, commitOid } = (await second.json()) as { commitUrl: string; commitOid: string }
  assert.equal(commitUrl, `datasets/${id}/commit/${commitOid}`)
  const tree = await hub.client.listTree({ type: 'dataset', id, recursive: true })
  assert.deepEqual(
    tree.map((e) => [e.type, e.path]),
    [
      ['file', 'a.txt'],
      ['directory', 'dir'],
      ['file', 'dir/b.txt'],
      ['file', 'plain'],
    ],
  )
  assert.equal(await (await resolve(id, 'a.txt')).text(), 'ONE')
  assert.equal(await (await resolve(id, 'plain')).text(), 'text é')
  const commits = await hub.client.listCommits({ type: 'dataset', id })
  assert.deepEqual(
    commits.map((c) => c.title),
    ['test', 'test', 'initial commit'],
  )
  // the same again changes nothing, and is a commit all the same
  const again = (await (await hub.commit(id, [file('a.txt', 'ONE')])).json()) as { commitOid: string }
  assert.notEqual(again.commitOid, commitOid)
  assert.equal(await hub.client.resolveRevision({ type: 'dataset', id }), again.commitOid)
})

test('deleting what is not there, unknown keys, bad base64 and a stale parent are refused', async () => {
  const id = await dataset()
  const missing = await hub.commit(id, [{ key: 'deletedFile', value: { path: 'no.txt' } }])
  assert.equal(missing.headers.get('x-error-code'), 'EntryNotFound')
  assert.match((await errorOf(missing, 404)).detail, /no\.txt/)
  await errorOf(await hub.commit(id, [{ key: 'nonsense', value: {} }]), 400)
  await errorOf(
    await hub.commit(id, [{ key: 'file', value: { path: 'x', content: '!!!!', encoding: 'base64' } }]),
    400,
  )
  await errorOf(await hub.commit(id, [file('x', 'y')], 'nope'), 404)
  const stale = await hub.request(`${api(id)}/commit/main`, {
    method: 'POST',
    body: JSON.stringify({ key: 'header', value: { summary: 's', parentCommit: 'a'.repeat(40) } }),
  })
  assert.match((await errorOf(stale, 412)).detail, /parent/)
  await errorOf(await hub.request(`${api(id)}/commit/main`, { method: 'POST', body: '' }), 400)
  assert.equal((await hub.client.listCommits({ type: 'dataset', id })).length, 1)
})

test('hostile paths are refused at commit and at download, naming the path', async () => {
  const id = await dataset()
  for (const path of [
    '../x',
    '/etc/passwd',
    'a/../../b',
    '.git/config',
    'a\\b',
    'a\0b',
    'a//b',
    'x'.repeat(300),
    '',
  ]) {
    const body = await errorOf(await hub.commit(id, [file(path, 'x')]), 400)
    assert.equal(body.code, 'PATH_REFUSED')
  }
  for (const path of ['..%2f..%2fetc%2fpasswd', '%2fetc/passwd', 'a%00b', '.git%2fconfig', 'a%5cb'])
    assert.equal((await resolve(id, path)).status, 400, path)
  for (const revision of ['..', '--help', 'main%5E', 'a%20b', '%00'])
    assert.ok([400, 404].includes((await resolve(id, 'x', {}, revision)).status), revision)
  assert.deepEqual(await hub.client.listTree({ type: 'dataset', id }), [])
})

test('clashes of case, Unicode form, and of a file with a folder are refused; a rename in one commit is not', async () => {
  const id = await dataset()
  await hub.commit(id, [file('Data/a.txt', '1'), file('caf\u00e9', '2')])
  for (const path of ['data/b.txt', 'Data/A.txt', 'cafe\u0301', 'Data/a.txt/x', 'Data', 'DATA'])
    assert.equal((await errorOf(await hub.commit(id, [file(path, 'x')]), 400)).code, 'PATH_CLASH', path)
  await errorOf(await hub.commit(id, [file('q/x', '1'), file('Q/y', '2')]), 400)
  const rename = await hub.commit(id, [
    { key: 'deletedFolder', value: { path: 'Data/' } },
    file('data/a.txt', '3'),
  ])
  assert.equal(rename.status, 200)
  const toFolder = await hub.commit(id, [
    { key: 'deletedFile', value: { path: 'data/a.txt' } },
    file('data/a.txt/b', '4'),
  ])
  assert.equal(toFolder.status, 200)
  assert.equal(await (await resolve(id, 'data/a.txt/b')).text(), '4')
})

test('a large file sent inline becomes an LFS object, whatever the line length', async () => {
  const id = await dataset()
  const sizes = { small: 1024 * 1024, middle: 1_100_000, large: 7_000_001 }
  for (const [name, size] of Object.entries(sizes)) {
    const bytes = randomBytes(size)
    assert.equal((await hub.commit(id, [file(name, bytes)])).status, 200)
    const [entry] = (await hub.client.listTree({ type: 'dataset', id })).filter((e) => e.path === name)
    assert.equal(entry?.size, size)
    assert.equal(entry?.lfs?.oid, name === 'small' ? undefined : sha256(bytes))
    const got = await resolve(id, name)
    assert.ok(Buffer.from(await got.arrayBuffer()).equals(bytes), name)
  }
  const text = `é😀"${'x'.repeat(2_000_000)}`
  const escaped = JSON.stringify(text).replace('😀', '\\ud83d\\ude00')
  const body = `{"key":"header","value":{}}\n{"key":"file","value":{"path":"t","encoding":"utf-8","content":${escaped}}}`
  assert.equal((await hub.request(`${api(id)}/commit/main`, { method: 'POST', body })).status, 200)
  assert.equal(await (await resolve(id, 't')).text(), text)
  assert.deepEqual(await readdir(join(hub.dir, 'tmp')), [])
})

test('LFS: batch, upload checked by its sha256, verify, commit, and nothing to do the second time', async () => {
  const id = await dataset()
  const bytes = randomBytes(3_000_000)
  const oid = sha256(bytes)
  const lfs = `/v1/hf/datasets/${id}.git/info/lfs`
  const ask = async (operation = 'upload') =>
    (await (
      await hub.post(`${lfs}/objects/batch`, { operation, objects: [{ oid, size: bytes.length }] })
    ).json()) as {
      objects: { actions?: Record<string, { href: string }>; error?: { code: number } }[]
    }
  assert.equal((await ask('download')).objects[0]?.error?.code, 404)
  for (const [hash_algo, status] of [
    ['md5', 409],
    ['sha256', 200],
    [null, 200],
    [5, 422],
  ]) {
    const body = { operation: 'upload', objects: [], hash_algo }
    const response = await hub.post(`${lfs}/objects/batch`, body)
    assert.equal(response.status, status, String(hash_algo))
    if (status !== 200) assert.match(await response.text(), /hash_algo/)
  }
  const lfsFile = { key: 'lfsFile', value: { path: 'w.bin', algo: 'sha256', oid, size: bytes.length } }
  assert.match((await errorOf(await hub.commit(id, [lfsFile]), 400)).detail, /w\.bin.*not been uploaded/)
  const href = new URL((await ask()).objects[0]?.actions?.upload?.href ?? '').pathname
  const put = (body: Uint8Array) =>
    hub.request(href, { method: 'PUT', body: body as Uint8Array<ArrayBuffer> })
  await errorOf(await put(bytes.subarray(1)), 400)
  await errorOf(await hub.post(`${lfs}/verify`, { oid, size: bytes.length }), 404)
  assert.equal((await put(bytes)).status, 200)
  assert.equal((await hub.post(`${lfs}/verify`, { oid, size: bytes.length })).status, 200)
  assert.deepEqual((await ask()).objects[0], { oid, size: bytes.length, authenticated: true })
  await errorOf(await hub.commit(id, [{ ...lfsFile, value: { ...lfsFile.value, size: 1 } }]), 400)
  assert.equal((await hub.commit(id, [lfsFile])).status, 200)
  const head = await resolve(id, 'w.bin', { method: 'HEAD' })
  assert.equal(head.headers.get('content-length'), String(bytes.length))
  assert.equal(head.headers.get('x-linked-etag'), `"${oid}"`)
  assert.equal(head.headers.get('etag'), `"${oid}"`)
  assert.equal(head.headers.get('x-repo-commit'), await hub.client.resolveRevision({ type: 'dataset', id }))
  // at the root, as the ingress of the original has it
  const other = randomBytes(2_000_000)
  const root = await hub.request(`/${id}.git/info/lfs/objects/${sha256(other)}`, {
    method: 'PUT',
    body: other,
  })
  assert.equal(root.status, 200)
  assert.equal(
    (await hub.post(`/${id}.git/info/lfs/verify`, { oid: sha256(other), size: other.length })).status,
    200,
  )
  await errorOf(await hub.request(`${lfs}/objects/..%2f..%2fHEAD`, { method: 'PUT', body: 'x' }), 400)
})

test('preupload follows the client, and tells what is here', async () => {
  const id = await dataset()
  const big = randomBytes(2_000_000)
  await hub.commit(id, [file('big.txt', big), file('s.txt', 'small')])
  const ask = async (agent: string) => {
    const files = [
      { path: 'big.txt', size: big.length, sample: '' },
      { path: 's.txt', size: 5, sample: '' },
      { path: 'w.safetensors', size: 5, sample: '' },
    ]
    const res = await hub.post(`${api(id)}/preupload/main`, { files }, { 'user-agent': agent })
    return ((await res.json()) as { files: { uploadMode: string; oid?: string }[] }).files
  }
  const v0 = await ask('unknown/None; hf_hub/0.34.4; python/3.11')
  assert.deepEqual(
    v0.map((f) => [f.uploadMode, f.oid]),
    [
      ['lfs', undefined],
      ['regular', undefined],
      ['lfs', undefined],
    ],
  )
  const blob = (bytes: Uint8Array) =>
    createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex')
  const v1 = await ask('unknown/None; hf_hub/1.33.0; python/3.11')
  assert.deepEqual(
    v1.map((f) => [f.uploadMode, f.oid]),
    [
      ['regular', blob(big)],
      ['regular', blob(Buffer.from('small'))],
      ['regular', undefined],
    ],
  )
})

test('ranges, conditions and HEAD', async () => {
  const id = await dataset()
  const big = randomBytes(2_500_000)
  await hub.commit(id, [file('small', '0123456789'), file('big', big), file('empty', '')])
  const cases: [string, number, string][] = [
    ['bytes=2-4', 206, '234'],
    ['bytes=7-', 206, '789'],
    ['bytes=-2', 206, '89'],
    ['bytes=5-100', 206, '56789'],
    ['bytes=0-1,3-4', 200, '0123456789'],
    ['lines=1-2', 200, '0123456789'],
    ['bytes=5-2', 200, '0123456789'],
  ]
  for (const [range, status, text] of cases) {
    const res = await resolve(id, 'small', { headers: { range } })
    assert.equal(res.status, status, range)
    assert.equal(res.headers.get('content-length'), String(text.length))
    assert.equal(await res.text(), text)
  }
  const past = await resolve(id, 'small', { headers: { range: 'bytes=10-' } })
  assert.equal(past.headers.get('content-range'), 'bytes */10')
  assert.equal(past.status, 416)
  const tail = await resolve(id, 'big', { headers: { range: 'bytes=1200000-2300000' } })
  assert.equal(tail.headers.get('content-range'), 'bytes 1200000-2300000/2500000')
  assert.ok(Buffer.from(await tail.arrayBuffer()).equals(big.subarray(1200000, 2300001)))
  const etag = (await resolve(id, 'big', { method: 'HEAD' })).headers.get('etag') ?? ''
  assert.equal((await resolve(id, 'big', { headers: { 'if-none-match': etag } })).status, 304)
  assert.equal(
    (await resolve(id, 'small', { headers: { range: 'bytes=1-2', 'if-range': '"x"' } })).status,
    200,
  )
  assert.equal((await resolve(id, 'empty')).headers.get('content-length'), '0')
  const nothing = await resolve(id, 'nope')
  assert.equal(nothing.headers.get('x-error-code'), 'EntryNotFound')
  assert.equal((await resolve(id, 'small', {}, 'nope')).headers.get('x-error-code'), 'RevisionNotFound')
})

test('large trees come in pages of one commit; paths-info takes forms and JSON', async () => {
  const id = await dataset()
  await hub.commit(
    id,
    Array.from({ length: 2300 }, (_, i) => file(`d/${String(i).padStart(4, '0')}`, 'x')),
  )
  const tree = await hub.client.listTree({ type: 'dataset', id, recursive: true })
  assert.equal(new Set(tree.map((e) => e.path)).size, 2301)
  const first = await hub.request(`${api(id)}/tree/main?recursive=True&expand=False&limit=10`)
  const next = /<([^>]+)>/.exec(first.headers.get('link') ?? '')?.[1] ?? ''
  await hub.commit(id, [file('a-new-first', 'x')])
  const second = (await (await hub.request(new URL(next).pathname + new URL(next).search)).json()) as {
    path: string
  }[]
  assert.equal(second[0]?.path, 'd/0009')
  const expanded = (await (await hub.request(`${api(id)}/tree/main?expand=true`)).json()) as {
    lastCommit: object
  }[]
  assert.ok(expanded.every((e) => e.lastCommit))
  const form = new URLSearchParams([
    ['paths', 'd/0001'],
    ['paths', 'd'],
    ['paths', 'nope'],
    ['expand', 'False'],
  ])
  const info = await hub.request(`${api(id)}/paths-info/main`, { method: 'POST', body: form })
  assert.deepEqual(
    ((await info.json()) as { path: string }[]).map((e) => e.path),
    ['d/0001', 'd'],
  )
  const json = await hub.post(`${api(id)}/paths-info/main`, { paths: ['d/0001'], expand: true })
  assert.equal(((await json.json()) as unknown[]).length, 1)
})

test('branches, tags and pull requests, with slashes in their names', async () => {
  const id = await dataset()
  await hub.commit(id, [file('f', 'main')])
  const target = { type: 'dataset', id } as const
  await hub.client.createBranch({ ...target, branch: 'feat/x' })
  await hub.client.createBranch({ ...target, branch: 'feat/x', existOk: true })
  await assert.rejects(hub.client.createBranch({ ...target, branch: 'feat/x' }), { status: 409 })
  await assert.rejects(hub.client.createBranch({ ...target, branch: 'feat' }), { status: 409 })
  await hub.client.commit({
    ...target,
    branch: 'feat/x',
    message: 'm',
    files: [{ path: 'f', content: 'branch' }],
  })
  await hub.client.createTag({ ...target, tag: 'v1', revision: 'feat/x', message: 'a tag' })
  await hub.client.createTag({ ...target, tag: 'v2' })
  assert.equal(await hub.client.readText({ ...target, path: 'f', revision: 'v1' }), 'branch')
  assert.equal(await hub.client.readText({ ...target, path: 'f', revision: 'v2' }), 'main')
  const body = `${JSON.stringify({ key: 'header', value: { summary: 'pr' } })}\n${JSON.stringify(file('f', 'pull'))}`
  const pull = await hub.request(`${api(id)}/commit/main?create_pr=1`, { method: 'POST', body })
  assert.match(((await pull.json()) as { pullRequestUrl: string }).pullRequestUrl, /\/discussions\/1$/)
  assert.equal(await (await resolve(id, 'f', {}, 'refs%2Fpr%2F1')).text(), 'pull')
  const refs = await hub.client.listRefs(target)
  assert.deepEqual(
    refs.branches.map((r) => r.name),
    ['feat/x', 'main'],
  )
  assert.deepEqual(
    refs.tags.map((r) => r.name),
    ['v1', 'v2'],
  )
  assert.equal((await hub.request(`${api(id)}/branch/feat%2Fx`, { method: 'DELETE' })).status, 200)
  await errorOf(await hub.request(`${api(id)}/branch/main`, { method: 'DELETE' }), 403)
  await errorOf(await hub.request(`${api(id)}/tag/nope`, { method: 'DELETE' }), 404)
  await hub.post(`${api(id)}/super-squash/main`, {})
  assert.equal((await hub.client.listCommits(target)).length, 1)
  assert.equal(await hub.client.readText({ ...target, path: 'f' }), 'main')
})

test('commits to one branch at once all count; with a parent only one of them', async () => {
  const id = await dataset()
  const all = await Promise.all(Array.from({ length: 8 }, (_, i) => hub.commit(id, [file(`f${i}`, `${i}`)])))
  assert.deepEqual(new Set(all.map((r) => r.status)), new Set([200]))
  assert.equal((await hub.client.listTree({ type: 'dataset', id })).length, 8)
  const parent = await hub.client.resolveRevision({ type: 'dataset', id })
  const raced = await Promise.allSettled(
    Array.from({ length: 4 }, (_, i) =>
      hub.client.commit({
        type: 'dataset',
        id,
        parent,
        message: 'm',
        files: [{ path: 'r', content: `${i}` }],
      }),
    ),
  )
  assert.equal(raced.filter((r) => r.status === 'fulfilled').length, 1)
})

test('an upload that breaks off leaves nothing', async () => {
  const id = await dataset()
  const before = await hub.client.resolveRevision({ type: 'dataset', id })
  for (const path of [
    `${api(id)}/commit/main`,
    `/v1/hf/datasets/${id}.git/info/lfs/objects/${'a'.repeat(64)}`,
  ]) {
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(
          Buffer.from('{"key":"header","value":{}}\n{"key":"file","value":{"path":"x","content":"'),
        )
        for (let i = 0; i < 40; i++) controller.enqueue(Buffer.from('QUJD'.repeat(16_384)))
        controller.error(Object.assign(new Error('aborted'), { code: 'ECONNRESET' }))
      },
    })
    const method = path.includes('lfs') ? 'PUT' : 'POST'
    const res = await hub.request(path, { method, body, duplex: 'half' } as RequestInit)
    assert.equal((await errorOf(res, 400)).code, 'UPLOAD_CUT_SHORT')
  }
  assert.equal(await hub.client.resolveRevision({ type: 'dataset', id }), before)
  assert.deepEqual(await readdir(join(hub.dir, 'tmp')), [])
})

test('symbolic links that came by another way are never followed', async () => {
  const id = await dataset()
  const dir = await gitDirOf(id)
  const oid = (await git(dir, ['hash-object', '-w', '--stdin'], '/etc/passwd')).toString().trim()
  const tree = (await git(dir, ['mktree'], `120000 blob ${oid}\tlink\n`)).toString().trim()
  const made = (await git(dir, ['commit-tree', tree, '-m', 'm'])).toString().trim()
  await git(dir, ['update-ref', 'refs/heads/main', made])
  assert.match((await errorOf(await resolve(id, 'link'), 400)).detail, /symbolic link/)
})

test('a start after a kill clears what was in flight and finishes what was begun', async () => {
  const db2 = await openMemoryDatabase()
  const first = await startForTest({ db: db2 })
  for (const name of ['keep', 'gone', 'half'])
    await first.client.createRepo({ type: 'model', id: `k/${name}` })
  const rows = await db2.query<{ id: string; name: string }>('SELECT id, name FROM data_store.repos')
  const idOf = (name: string) => rows.find((row) => row.name === name)?.id ?? ''
  await first.stop()
  // killed while an upload came, after the rename of a deletion, and between the folder and the row of a creation
  await mkdir(join(first.dir, 'tmp', 'upload'))
  await writeFile(join(first.dir, 'tmp', 'upload', 'file1'), 'x')
  await rename(join(first.dir, 'repos', idOf('gone')), join(first.dir, 'trash', `${idOf('gone')}.1`))
  await writeFile(join(first.dir, 'repos', idOf('half'), 'CREATING'), '')
  await db2.query('DELETE FROM data_store.repos WHERE id = $1', [idOf('half')])
  const lost = join(first.dir, 'repos', idOf('keep'), 'lfs', 'pending', 'b'.repeat(64))
  await mkdir(join(lost, '..'), { recursive: true })
  await writeFile(lost, '')
  await utimes(lost, 1, 1)
  const second = await startForTest({ db: db2, dir: first.dir })
  const names = await db2.query<{ name: string }>('SELECT name FROM data_store.repos')
  assert.deepEqual(
    names.map((row) => row.name),
    ['keep'],
  )
  assert.equal((await second.client.repoInfo({ type: 'model', id: 'k/keep' })).id, 'k/keep')
  await second.post('/v1/datastore/collect', {})
  await second.stop()
  for (const dir of ['tmp', 'trash']) assert.deepEqual(await readdir(join(first.dir, dir)), [])
  assert.deepEqual(await readdir(join(first.dir, 'repos')), [idOf('keep')])
  assert.equal(existsSync(lost), false)
  await first.close()
  await db2.close()
})

test('a lock that a killed git left does not stop the branch for ever', async () => {
  const id = await dataset()
  const lock = join(await gitDirOf(id), 'refs', 'heads', 'main.lock')
  await writeFile(lock, '')
  await utimes(lock, 1000, 1000)
  assert.equal((await hub.commit(id, [file('f', 'x')])).status, 200)
  assert.equal(existsSync(lock), false)
})

test('many commits are repacked, and git finds nothing wrong', async () => {
  const id = await dataset()
  for (let i = 0; i < 35; i++) await hub.commit(id, [file(`f${i}`, `${i}`)])
  const dir = await gitDirOf(id)
  const packs = async () =>
    (await readdir(join(dir, 'objects', 'pack'))).filter((n) => n.endsWith('.pack')).length
  for (let i = 0; i < 100 && (await packs()) > 30; i++) await new Promise((r) => setTimeout(r, 50))
  assert.ok((await packs()) <= 30)
  await git(dir, ['fsck', '--strict', '--no-dangling'])
  assert.equal((await hub.client.listTree({ type: 'dataset', id })).length, 35)
  assert.match(await readFile(join(dir, 'description'), 'utf8'), /^dataset ns\//)
})

test('lists, search, moving, settings, whoami and validate-yaml', async () => {
  for (const name of ['zebra', 'zeal', 'other'])
    await hub.client.createRepo({ type: 'model', id: `lists/${name}` })
  const list = async (query: string) =>
    ((await (await hub.request(`/v1/hf/api/models?${query}`)).json()) as { id: string }[]).map((m) => m.id)
  assert.deepEqual((await list('author=lists&search=ze')).sort(), ['lists/zeal', 'lists/zebra'])
  assert.deepEqual(await list('author=lists&search=%25'), [])
  const page = await hub.request('/v1/hf/api/models?author=lists&limit=2')
  assert.match(page.headers.get('link') ?? '', /cursor=2/)
  const move = await hub.post('/v1/hf/api/repos/move', {
    fromRepo: 'lists/other',
    toRepo: 'lists2/moved',
    type: 'model',
  })
  assert.equal(move.status, 200)
  assert.deepEqual(await list('author=lists2'), ['lists2/moved'])
  await errorOf(
    await hub.post('/v1/hf/api/repos/move', { fromRepo: 'lists/zeal', toRepo: 'lists/ZEBRA' }),
    409,
  )
  assert.equal((await hub.request('/v1/hf/api/whoami-v2')).status, 200)
  const yaml = (content: string) => hub.post('/v1/hf/api/validate-yaml', { content, repoType: 'model' })
  assert.equal((await yaml('---\na: 1\n---\n# x')).status, 200)
  assert.equal((await yaml('---\na: 1\na: 2\n---\n')).status, 400)
})
