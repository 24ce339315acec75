// SPDX-License-Identifier: Apache-2.0
import { rm, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { isRefName } from '../storage/paths.ts'
import type { ObjectReader } from './cat-file.ts'
import { GitError, git } from './run.ts'

export interface Ref {
  /** Full name, `refs/heads/main`. */
  ref: string
  /** The part after `refs/heads/`, `refs/tags/` or `refs/pr/`. */
  name: string
  /** The commit, also for annotated tags. */
  commit: string
}

/** The full name of the ref that a commit to `branch` moves: `main`, or `refs/pr/1`, or `refs/heads/main`. */
export function branchRef(branch: string): string {
  return /^refs\/(heads|pr)\/./.test(branch) ? branch : `refs/heads/${branch}`
}

/**
 * The commit that a branch, a tag, a full ref or a commit id (7 digits at least) names; undefined when none.
 * A branch wins over a tag, and both over an abbreviated id.
 */
export async function resolveRevision(
  objects: ObjectReader,
  gitDir: string,
  revision: string,
): Promise<string | undefined> {
  if (!isRefName(revision)) return undefined
  const names: string[] = []
  if (/^[0-9a-f]{40}$/.test(revision)) names.push(revision)
  if (revision === 'HEAD') names.push('refs/heads/main')
  if (/^refs\/(heads|tags|pr)\/./.test(revision)) names.push(revision)
  names.push(`refs/heads/${revision}`, `refs/tags/${revision}`)
  if (/^[0-9a-f]{7,39}$/.test(revision)) names.push(revision)
  for (const name of names) {
    const found = await objects.info(gitDir, `${name}^{commit}`)
    if (found?.type === 'commit') return found.oid
  }
  return undefined
}

/** Branches, tags and pull requests of a repository. */
export async function listRefs(gitDir: string): Promise<{ branches: Ref[]; tags: Ref[]; pulls: Ref[] }> {
  const format = '--format=%(objectname) %(*objectname) %(refname)'
  const out = await git(gitDir, ['for-each-ref', format, 'refs/heads', 'refs/tags', 'refs/pr'])
  const refs: Ref[] = []
  for (const line of out.toString('utf8').split('\n')) {
    const [object, peeled, ref] = line.split(' ')
    if (!object || !ref) continue
    refs.push({ ref, name: ref.split('/').slice(2).join('/'), commit: peeled || object })
  }
  const of = (prefix: string) => refs.filter((r) => r.ref.startsWith(prefix))
  return { branches: of('refs/heads/'), tags: of('refs/tags/'), pulls: of('refs/pr/') }
}

const NONE = '0'.repeat(40)

/**
 * Moves a ref from `old` (undefined: it must not exist) to `next` (undefined: it goes). This is the commit
 * point of every change. False when the ref was not at `old` any more.
 */
export async function moveRef(
  gitDir: string,
  ref: string,
  next: string | undefined,
  old: string | undefined,
): Promise<boolean> {
  const args =
    next === undefined
      ? ['update-ref', '--no-deref', '-d', ref, old ?? NONE]
      : ['update-ref', '--no-deref', ref, next, old ?? NONE]
  for (let waited = 0; ; waited += LOCK_STEP_MS) {
    try {
      await git(gitDir, args)
      return true
    } catch (err) {
      if (!(err instanceof GitError)) throw err
      const lock = /Unable to create '([^']+\.lock)': File exists/.exec(err.stderr)?.[1]
      if (lock && waited < 2 * LOCK_STALE_MS && (await clearStale(lock))) continue
      if (!lock && /cannot lock ref/.test(err.stderr)) return false
      throw err
    }
  }
}

const LOCK_STEP_MS = 200
const LOCK_STALE_MS = 3000

/**
 * A git that was killed leaves its lock behind, and no ref could move any more. One process of ours moves the
 * refs of a repository one by one, so a lock of some age is such a leftover.
 */
async function clearStale(lock: string): Promise<boolean> {
  const { mtimeMs } = await stat(lock).catch(() => ({ mtimeMs: 0 }))
  if (mtimeMs && Date.now() - mtimeMs > LOCK_STALE_MS) await rm(lock, { force: true })
  else if (mtimeMs) await sleep(LOCK_STEP_MS)
  return true
}

/** Makes an annotated tag object when there is a message, and gives what the tag's ref should hold. */
export async function tagTarget(
  gitDir: string,
  args: { name: string; commit: string; message: string; tagger: string },
): Promise<string> {
  if (!args.message) return args.commit
  const when = `${Math.floor(Date.now() / 1000)} +0000`
  const text = `object ${args.commit}\ntype commit\ntag ${args.name}\ntagger ${args.tagger} ${when}\n\n${args.message}\n`
  return (await git(gitDir, ['mktag'], text)).toString('latin1').trim()
}
