// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { FileSink } from './file-sink.ts'

const dir = await mkdtemp(join(tmpdir(), 'nemo-sink-'))
after(() => rm(dir, { recursive: true, force: true }))

test('bytes and base64 in pieces of any size arrive whole, with their hash', async () => {
  const bytes = randomBytes(9_000_001)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  for (const [name, step] of [
    ['a', 65_536],
    ['b', 3_000_000],
    ['c', 77_777],
  ] as const) {
    const raw = await FileSink.create(join(dir, `${name}-raw`))
    const coded = await FileSink.create(join(dir, `${name}-coded`), 64 * 1024 * 1024)
    for (let at = 0; at < bytes.length; at += step * 3) {
      const part = bytes.subarray(at, at + step * 3)
      await raw.write(part)
      assert.ok(await coded.base64(part.toString('base64')))
    }
    for (const sink of [raw, coded]) {
      assert.deepEqual(await sink.finish(), { sha256, size: bytes.length })
      assert.ok((await readFile(sink.path)).equals(bytes))
      await sink.discard()
      assert.equal(existsSync(sink.path), false)
    }
  }
})

test('malformed base64 is noticed wherever it stands', async () => {
  const sink = await FileSink.create(join(dir, 'bad'))
  for (const text of ['QUJ!', 'Q===', '=QUJ', 'QQ==QUJD', 'QU D']) {
    assert.equal(await sink.base64(text), false, text)
  }
  assert.ok(await sink.base64('QUI='))
  await sink.discard()
})
