// SPDX-License-Identifier: Apache-2.0
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { Limiter } from '../storage/locks.ts'

/** What git needs from us: no hooks, no user or system settings, one author, nothing asked on a terminal. */
const SETTINGS = [
  'core.hooksPath=/dev/null',
  // a program, which the check of a push would run
  'core.alternateRefsCommand=true',
  'core.fsmonitor=false',
  'core.fsync=all',
  'core.fsyncMethod=fsync',
  'core.compression=1',
  'core.logAllRefUpdates=false',
  'core.quotePath=false',
  'gc.auto=0',
  'maintenance.auto=false',
  'fastimport.unpackLimit=0',
  'safe.directory=*',
  'protocol.allow=never',
]

export const AUTHOR = { name: 'data-store', email: 'data-store@localhost' }

function environment(): NodeJS.ProcessEnv {
  return {
    PATH: process.env.PATH,
    HOME: '/nonexistent',
    LC_ALL: 'C',
    TZ: 'UTC',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_SYSTEM: '/dev/null',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_ATTR_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_NO_REPLACE_OBJECTS: '1',
    GIT_OPTIONAL_LOCKS: '0',
    GIT_AUTHOR_NAME: AUTHOR.name,
    GIT_AUTHOR_EMAIL: AUTHOR.email,
    GIT_COMMITTER_NAME: AUTHOR.name,
    GIT_COMMITTER_EMAIL: AUTHOR.email,
  }
}

/** git ended with a status other than 0, or could not be started. */
export class GitError extends Error {
  readonly exitCode: number | null
  readonly stderr: string

  constructor(args: readonly string[], exitCode: number | null, stderr: string, options?: ErrorOptions) {
    super(`git ${args[0]} ended with ${exitCode}: ${stderr.trim().slice(0, 2000)}`, options)
    this.name = 'GitError'
    this.exitCode = exitCode
    this.stderr = stderr
  }
}

/**
 * Starts git on a bare repository, with settings and variables beside the common ones, and with `channel` a socket as
 * its file descriptor 3, which hooks inherit. The caller ends it; commands of users never reach `args` unchecked.
 */
export function startGit(
  gitDir: string,
  args: readonly string[],
  extra: { settings?: readonly string[]; env?: NodeJS.ProcessEnv; channel?: boolean } = {},
): ChildProcessWithoutNullStreams {
  const settings = [...SETTINGS, ...(extra.settings ?? [])].flatMap((setting) => ['-c', setting])
  return spawn('git', [...settings, `--git-dir=${gitDir}`, ...args], {
    cwd: gitDir,
    env: { ...environment(), ...extra.env },
    stdio: ['pipe', 'pipe', 'pipe', ...(extra.channel ? ['pipe' as const] : [])],
  }) as ChildProcessWithoutNullStreams
}

/** Short commands that may run at once; more wait, so that a crowd of requests cannot fork without end. */
const slots = new Limiter(8)

/** Runs git to its end and gives its output. Throws GitError with what git said. */
export function git(gitDir: string, args: readonly string[], input?: string | Buffer): Promise<Buffer> {
  return slots.run(() => collect(gitDir, args, input))
}

function collect(gitDir: string, args: readonly string[], input?: string | Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const child = startGit(gitDir, args)
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
    child.stdin.on('error', () => {})
    child.on('error', (cause) => reject(new GitError(args, null, startMessage(cause), { cause })))
    child.on('close', (code) => {
      if (code === 0) resolve(Buffer.concat(out))
      else reject(new GitError(args, code, Buffer.concat(err).toString('utf8')))
    })
    child.stdin.end(input)
  })
}

/** Says what to do when git is not there, instead of `spawn git ENOENT`. */
export function startMessage(cause: Error): string {
  const missing = 'code' in cause && cause.code === 'ENOENT'
  return missing ? 'the git program is not on PATH (or the repository is gone): install git' : cause.message
}
