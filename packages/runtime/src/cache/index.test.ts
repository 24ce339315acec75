// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { DiskSpaceError, ensureCached, formatBytes } from './index.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nemo-cache-'))
})
afterEach(async () => {
  await rm(dir, { recursive: true, force: true })
})

const module = new URL('./index.ts', import.meta.url).href

/** Another process that makes entry `e/one`, appending a line to `builds.log` for each build. */
function builder(ms: number): ChildProcess {
  const code = `
    import { appendFileSync, writeFileSync } from 'node:fs'
    import { ensureCached } from ${JSON.stringify(module)}
    const dir = process.argv[1]
    await ensureCached(dir, 'e/one', { needBytes: 1, build: async (tmp) => {
      appendFileSync(dir + '/builds.log', process.pid + '\\n')
      console.log('building')
      await new Promise((r) => setTimeout(r, ${ms}))
      writeFileSync(tmp + '/done', 'yes')
    } })`
  return spawn(process.execPath, ['--input-type=module', '-e', code, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function builds(): Promise<number> {
  return (await readFile(join(dir, 'builds.log'), 'utf8')).trim().split('\n').length
}

async function entry(): Promise<string> {
  return readFile(join(dir, 'e/one/done'), 'utf8')
}

describe('ensureCached', () => {
  it('builds once for three processes at a time and leaves no lock or temporary folder', async () => {
    const children = [builder(300), builder(300), builder(300)]
    for (const [code] of await Promise.all(children.map((c) => once(c, 'exit')))) assert.equal(code, 0)
    assert.equal(await builds(), 1)
    assert.equal(await entry(), 'yes')
    assert.deepEqual(await readdir(join(dir, '.locks')), [])
    assert.deepEqual(await readdir(join(dir, '.tmp')), [])
  })

  it('takes over from a killed process and sweeps what it left', async () => {
    const child = builder(60_000)
    await once(child.stdout as NodeJS.ReadableStream, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
    assert.equal((await readdir(join(dir, '.tmp'))).length, 1)
    await ensureCached(dir, 'e/one', { needBytes: 1, build: (tmp) => writeFile(join(tmp, 'done'), 'second') })
    assert.equal(await entry(), 'second')
    assert.deepEqual(await readdir(join(dir, '.tmp')), [])
  })

  it('takes over a torn lock and one whose pid now belongs to another process', async () => {
    const foreign = { pid: 1, host: hostname(), startTicks: '-1', token: 't', bytes: 0, what: '' }
    for (const [i, text] of ['', JSON.stringify(foreign)].entries()) {
      await mkdir(join(dir, '.locks'), { recursive: true })
      await writeFile(join(dir, '.locks', `k${i}.lock`), text)
      await ensureCached(dir, `k${i}`, { needBytes: 1, build: async () => undefined })
    }
  })

  it('shares one build inside a process and tells all who wait', async () => {
    const told: string[] = []
    let count = 0
    const options = (name: string) => ({
      needBytes: 1,
      onProgress: () => told.push(name),
      build: async (_tmp: string, tell: (e: { message: string }) => void) => {
        count++
        await new Promise((r) => setTimeout(r, 20))
        tell({ message: 'half' })
      },
    })
    await Promise.all([ensureCached(dir, 'a', options('x')), ensureCached(dir, 'a', options('y'))])
    assert.equal(count, 1)
    assert.deepEqual(told, ['x', 'y'])
  })

  it('leaves nothing behind after a failed build, and builds again', async () => {
    await assert.rejects(
      ensureCached(dir, 'a', {
        needBytes: 1,
        build: async (tmp) => {
          await writeFile(join(tmp, 'half'), '')
          throw new Error('network')
        },
      }),
      /network/,
    )
    assert.deepEqual(await readdir(join(dir, '.tmp')), [])
    await ensureCached(dir, 'a', { needBytes: 1, build: async () => undefined })
  })

  it('says how much space it needs, has, and which variable moves the cache', async () => {
    await assert.rejects(
      ensureCached(dir, 'a', { needBytes: 1e18, build: async () => undefined }),
      (error: Error) => {
        assert.ok(error instanceof DiskSpaceError)
        assert.match(error.message, /needs 1000000\.0 TB, has .* free at .*NEMO_CACHE/)
        return true
      },
    )
  })

  it('refuses keys that leave the cache', async () => {
    for (const key of ['../a', '/a', 'a//b', '', 'a/../b']) {
      await assert.rejects(
        ensureCached(dir, key, { needBytes: 1, build: async () => undefined }),
        /cache key/,
      )
    }
  })
})

describe('formatBytes', () => {
  it('uses powers of 1000', () => {
    assert.equal(formatBytes(999), '999 B')
    assert.equal(formatBytes(1500), '1.5 KB')
  })
})
