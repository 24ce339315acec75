// SPDX-License-Identifier: Apache-2.0
import type { ObjectReader } from './cat-file.ts'
import { git, startGit } from './run.ts'

export interface Commit {
  id: string
  title: string
  message: string
  /** Seconds since 1970. */
  time: number
}

const FORMAT = '--format=%H%x00%ct%x00%s%x00%b%x00'

/** Commits from `commit` backwards, newest first, `skip` of them left out. */
export async function listCommits(
  gitDir: string,
  commit: string,
  page: { skip: number; limit: number },
): Promise<Commit[]> {
  const args = ['log', FORMAT, `--skip=${page.skip}`, `--max-count=${page.limit}`, commit, '--']
  const fields = (await git(gitDir, args)).toString('utf8').split('\0')
  const commits: Commit[] = []
  for (let i = 0; i + 3 < fields.length; i += 4) {
    const [id = '', time = '0', title = '', body = ''] = fields.slice(i, i + 4)
    commits.push({ id: id.trim(), time: Number(time), title, message: body.trimEnd() })
  }
  return commits
}

/** Number of commits from `commit` backwards. */
export async function countCommits(gitDir: string, commit: string): Promise<number> {
  return Number((await git(gitDir, ['rev-list', '--count', commit, '--'])).toString('latin1'))
}

/** When a commit was made, in seconds since 1970. */
export async function commitTime(objects: ObjectReader, gitDir: string, commit: string): Promise<number> {
  const object = await objects.read(gitDir, commit)
  const match = /^committer .* (\d+) [+-]\d{4}$/m.exec(object?.content.toString('utf8') ?? '')
  return Number(match?.[1] ?? 0)
}

/**
 * The newest commit that touched each of `paths` (files or folders). Reads the history only until all are
 * found.
 */
export function lastCommits(
  gitDir: string,
  commit: string,
  paths: ReadonlySet<string>,
): Promise<Map<string, Commit>> {
  const found = new Map<string, Commit>()
  if (paths.size === 0) return Promise.resolve(found)
  const args = [
    'log',
    '--format=%x01%H%x00%ct%x00%s%x00',
    '--name-only',
    '-z',
    '--no-renames',
    '-m',
    '--root',
  ]
  const child = startGit(gitDir, [...args, commit, '--'])
  let rest = ''
  let current: Commit | undefined
  const note = (path: string) => {
    if (!current) return
    for (let p = path; p !== ''; p = p.slice(0, Math.max(0, p.lastIndexOf('/')))) {
      if (paths.has(p) && !found.has(p)) found.set(p, current)
    }
  }
  const take = (text: string) => {
    const fields = (rest + text).split('\0')
    rest = fields.pop() ?? ''
    for (let i = 0; i < fields.length; i++) {
      const field = (fields[i] ?? '').replace(/^\n/, '')
      if (!field.startsWith('\x01')) note(field)
      else if (i + 2 < fields.length) {
        current = { id: field.slice(1), time: Number(fields[i + 1]), title: fields[i + 2] ?? '', message: '' }
        i += 2
      } else {
        // the header of a commit is cut by the end of this chunk: keep it for the next
        rest = [...fields.slice(i), rest].join('\0')
        return
      }
    }
  }
  return new Promise((resolve, reject) => {
    const decoder = new TextDecoder()
    child.stdin.on('error', () => {})
    child.stdin.end()
    child.stderr.resume()
    child.stdout.on('data', (chunk: Buffer) => {
      take(decoder.decode(chunk, { stream: true }))
      if (found.size === paths.size) child.kill('SIGKILL')
    })
    child.on('error', reject)
    child.on('close', () => resolve(found))
  })
}
