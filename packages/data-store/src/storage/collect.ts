// SPDX-License-Identifier: Apache-2.0
import { access, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '@open-nemo/runtime'
import type { ObjectReader } from '../git/cat-file.ts'
import { Prune } from '../git/prune.ts'
import { git } from '../git/run.ts'
import { MAX_POINTER, parsePointer } from '../git/tree.ts'
import { type Activity, CLEAN_STAMP } from './activity.ts'
import type { StoredObject } from './objects.ts'
import type { Repo } from './repositories.ts'

/** What a collection freed. */
export interface Collected {
  repositories: number
  git_objects: number
  lfs_objects: number
  lfs_bytes: number
}

/** What the collector needs. */
interface Tools {
  objects: ObjectReader
  activity: Activity
  /** A path for temporary files that does not exist yet. */
  scratch: () => string
  log: Logger
}

/** So often, and after such pauses, a moment without commits is looked for. */
const MOMENTS = 120
const MOMENT_MS = 500

/** The first collection, so long after the start. */
const FIRST_MS = 60_000

/** Runs collections from a little after the start on, until the signal; `every` is in milliseconds, 0 for never. */
export function collectNowAndThen(every: number, signal: AbortSignal, run: () => void): void {
  if (every === 0) return
  const first = setTimeout(run, Math.min(FIRST_MS, every)).unref()
  const timer = setInterval(run, every).unref()
  signal.addEventListener('abort', () => {
    clearTimeout(first)
    clearInterval(timer)
  })
}

/** Collects from one repository after the other; a failure in one is logged and ends nothing. */
export async function collectAll(
  tools: Tools,
  { repos, time, signal }: { repos: readonly Repo[]; time: number; signal: AbortSignal },
): Promise<Collected> {
  const sum: Collected = { repositories: 0, git_objects: 0, lfs_objects: 0, lfs_bytes: 0 }
  for (const repo of repos) {
    if (signal.aborted) break
    try {
      const freed = await collect(tools, { repo, time, signal })
      for (const key of Object.keys(sum) as (keyof Collected)[]) sum[key] += freed[key]
    } catch (err) {
      // a repository that was deleted meanwhile is none to collect from
      if (await exists(repo.gitDir)) tools.log.error({ err, repo: repo.fullName }, 'the collection failed')
    }
  }
  tools.log.info({ ...sum }, 'garbage collected')
  return sum
}

/**
 * Removes from a repository what nothing reaches and nobody has touched since `time` (milliseconds since 1970): first
 * git's objects, then LFS objects that no pointer names in any object that git still has. So a pointer never outlives
 * its object, also in commits that no branch leads to any more. Whatever moment it is killed at, what is reachable is
 * there.
 */
async function collect(
  { objects, activity, scratch }: Tools,
  { repo, time, signal }: { repo: Repo; time: number; signal: AbortSignal },
): Promise<Collected> {
  const freed: Collected = { repositories: 1, git_objects: 0, lfs_objects: 0, lfs_bytes: 0 }
  const { gitDir } = repo
  if (await isClean(gitDir)) return freed
  const before = await unreachable(gitDir)
  if (before > 0) {
    await activity.packing(repo, async () => {
      const prune = await Prune.prepare(gitDir, { time, scratch: scratch() })
      if (!(await finishBetween(activity, repo, { prune, signal }))) await prune.abandon()
    })
    objects.forget(gitDir)
    freed.git_objects = Math.max(0, before - (await unreachable(gitDir)))
  }
  const read = new Set<string>()
  const candidates = await unnamed(objects, repo, read)
  await activity.exclusive(repo, async () => {
    // a commit may have come to name one since; what was read before says no more than it did
    const still = candidates.length > 0 ? await namedObjects(objects, gitDir, read) : new Set<string>()
    let waiting = freed.git_objects < before
    for (const object of candidates) {
      if (still.has(object.oid)) continue
      if (object.changed < time && (await repo.lfs.collect(object, time))) {
        freed.lfs_objects += 1
        freed.lfs_bytes += object.size
      } else waiting = true
    }
    for (const oid of await repo.lfs.pendingBefore(time)) await repo.lfs.clearPending(oid)
    if (!waiting) await writeFile(join(gitDir, CLEAN_STAMP), '')
  })
  return freed
}

/** Ends a prune in a moment between commits, if one comes soon; false when none came. */
async function finishBetween(
  activity: Activity,
  repo: Repo,
  { prune, signal }: { prune: Prune; signal: AbortSignal },
): Promise<boolean> {
  for (let tries = 0; tries < MOMENTS && !signal.aborted; tries++) {
    if ((await activity.alone(repo, () => prune.finish())) !== undefined) return true
    await sleep(MOMENT_MS, undefined, { signal }).catch(() => undefined)
  }
  return false
}

/** How many of git's objects no ref reaches. */
async function unreachable(gitDir: string): Promise<number> {
  const all = await git(gitDir, [
    'cat-file',
    '--batch-all-objects',
    '--unordered',
    '--batch-check=%(objectname)',
  ])
  const reached = await git(gitDir, ['rev-list', '--objects', '--no-object-names', '--all'])
  return lines(all) - lines(reached)
}

/** The objects of the store that no pointer names. */
async function unnamed(objects: ObjectReader, repo: Repo, read: Set<string>): Promise<StoredObject[]> {
  const stored: StoredObject[] = []
  for await (const object of repo.lfs.list()) stored.push(object)
  if (stored.length === 0) return []
  const named = await namedObjects(objects, repo.gitDir, read)
  return stored.filter(({ oid }) => !named.has(oid))
}

/** Every LFS object that a pointer names in any object of the repository but those in `read`, where it notes what it reads. */
async function namedObjects(objects: ObjectReader, gitDir: string, read: Set<string>): Promise<Set<string>> {
  const format = '--batch-check=%(objecttype) %(objectsize) %(objectname)'
  const all = await git(gitDir, ['cat-file', '--batch-all-objects', '--unordered', format])
  const named = new Set<string>()
  for (const [, size, oid] of all.toString('latin1').matchAll(/^blob (\d+) ([0-9a-f]+)$/gm)) {
    if (Number(size) > MAX_POINTER || !oid || read.has(oid)) continue
    read.add(oid)
    const blob = await objects.read(gitDir, oid)
    // an object that cannot be read may name anything: nothing is removed then
    if (!blob) throw new Error(`the git object ${oid} cannot be read`)
    const pointer = parsePointer(blob.content)
    if (pointer) named.add(pointer.oid)
  }
  return named
}

async function isClean(gitDir: string): Promise<boolean> {
  const pending = await readdir(join(gitDir, 'lfs', 'pending')).catch(() => [])
  if (pending.length > 0) return false
  return exists(join(gitDir, CLEAN_STAMP))
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function lines(text: Buffer): number {
  let count = 0
  for (let at = text.indexOf(10); at >= 0; at = text.indexOf(10, at + 1)) count += 1
  return count
}
