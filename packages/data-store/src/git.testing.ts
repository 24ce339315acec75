// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { serve } from '@open-nemo/runtime'
import { startForTest } from './testing.ts'

/** A data store that listens, and `git` as a user with no settings would run it, in a folder that goes at the end. */
export async function startForGit(env: Record<string, string> = {}) {
  const hub = await startForTest({ env })
  const listener = await serve({
    fetch: (request, bindings) => hub.app.fetch(request, bindings),
    host: '127.0.0.1',
    port: 0,
  })
  const url = `http://127.0.0.1:${listener.port}`
  const dir = await mkdtemp(join(tmpdir(), 'nemo-git-'))
  /** Runs git; rejects with what it printed. */
  async function git(cwd: string, ...args: string[]): Promise<string> {
    const who = ['-c', 'user.name=t', '-c', 'user.email=t@t', '-c', 'init.defaultBranch=main']
    const settings = { PATH: process.env.PATH, HOME: dir, GIT_CONFIG_NOSYSTEM: '1', GIT_TERMINAL_PROMPT: '0' }
    const run = promisify(execFile)('git', [...who, ...args], { cwd, env: settings, timeout: 60_000 })
    const { stdout, stderr } = await run
    return stdout + stderr
  }
  return {
    hub,
    url,
    dir,
    git,
    /** Clones the repository at a path of the store into a folder of that name. */
    async clone(path: string, name: string): Promise<string> {
      await git(dir, 'clone', '-q', `${url}${path}`, name)
      return join(dir, name)
    },
    async close() {
      await listener.close()
      await hub.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}
