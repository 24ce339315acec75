// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmod,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { writeLayer } from './layer.ts'
import { LayerFiles } from './tar.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nemo-tar-'))
})
afterEach(async () => {
  await rm(dir, { recursive: true, force: true })
})

const LONG = `${'a-rather-long-folder/'.repeat(8)}file-ä.txt`

/** A source folder, with other times and in another order each time. */
async function source(name: string, order: 1 | -1): Promise<string> {
  const root = join(dir, name)
  const steps = [
    () => writeFile(join(root, 'run'), '#!/bin/sh\n', { mode: 0o700 }),
    () => writeFile(join(root, 'data'), Buffer.alloc(1_000, 7), { mode: 0o600 }),
    () => symlink('data', join(root, 'link')),
    () => mkdir(join(root, 'skipped')).then(() => writeFile(join(root, 'skipped', 'x'), 'x')),
  ]
  await mkdir(root)
  for (const step of order === 1 ? steps : steps.reverse()) await step()
  await utimes(join(root, 'data'), order + 100, order + 100)
  await chmod(root, order === 1 ? 0o700 : 0o755)
  return root
}

async function layer(name: string, order: 1 | -1) {
  const files = new LayerFiles()
  await files.copy(await source(name, order), 'opt/app', { skip: (path) => path === 'skipped' })
  files.file(LONG, 'long').folder('tmp', { writable: true }).symlink('far', LONG)
  const path = join(dir, `${name}.tar.gz`)
  return { path, ...(await writeLayer(files, path)) }
}

describe('the layer', () => {
  it('has the same bytes for the same files, whatever their order, time, owner and umask', async () => {
    const [one, two] = [await layer('one', 1), await layer('two', -1)]
    assert.equal(one.digest, two.digest)
    assert.equal(one.diffId, two.diffId)
    assert.deepEqual(await readFile(one.path), await readFile(two.path))
  })

  it('is unpacked by tar with the right names, rights, links and contents', async () => {
    const { path } = await layer('one', 1)
    const out = join(dir, 'out')
    await mkdir(out)
    execFileSync('tar', ['-xpzf', path, '-C', out])
    assert.equal(await readFile(join(out, LONG), 'utf8'), 'long')
    assert.equal(await readlink(join(out, 'far')), LONG)
    assert.equal(await readlink(join(out, 'opt/app/link')), 'data')
    assert.deepEqual(await readFile(join(out, 'opt/app/data')), Buffer.alloc(1_000, 7))
    const mode = async (name: string) => (await stat(join(out, name))).mode & 0o7777
    assert.equal(await mode('opt/app/run'), 0o755)
    assert.equal(await mode('opt/app/data'), 0o644)
    assert.equal(await mode('opt'), 0o755)
    assert.equal(await mode('tmp'), 0o775)
    await assert.rejects(stat(join(out, 'opt/app/skipped')))
  })
})
