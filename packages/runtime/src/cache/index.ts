// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Progress } from '../catalogue/types.ts'
import { DiskSpaceError, freeBytes } from './disk.ts'
import { acquireLock, isLive, readLock } from './lock.ts'

export { DiskSpaceError, formatBytes, freeBytes } from './disk.ts'

export interface CacheEntryOptions {
  /** Disk space the build needs, temporary files included. */
  needBytes: number
  /** Fills `tmpDir` (an empty folder on the cache's file system); what it leaves there becomes the entry. */
  build: (tmpDir: string, onProgress: Progress) => Promise<void>
  onProgress?: Progress
  /** Named in the error when the disk is full: the variable that moves the cache. */
  variable?: string
  signal?: AbortSignal
}

interface Running {
  promise: Promise<string>
  listeners: Set<Progress>
}

const running = new Map<string, Running>()

/**
 * The folder of a cache entry, built first when it is not there yet.
 *
 * `key` is a relative path of letters, digits and `._+-` such as `models/smollm2-abc`. An entry is made in a
 * temporary folder and renamed, so it is there whole or not at all, also after a kill. Among all processes one
 * builds an entry while the others wait; each entry has a lock of its own, so that a model does not wait for the
 * trainer's environment, and the space check counts what the other holders are still about to write.
 */
export async function ensureCached(
  cacheDir: string,
  key: string,
  options: CacheEntryOptions,
): Promise<string> {
  if (!/^[\w.+-]+(\/[\w.+-]+)*$/.test(key) || key.split('/').includes('..')) {
    throw new Error(
      `cache key ${JSON.stringify(key)} may only hold letters, digits, '._+-' and single slashes`,
    )
  }
  const path = join(cacheDir, key)
  if (existsSync(path)) return path
  const current = running.get(path)
  if (current !== undefined) {
    if (options.onProgress) current.listeners.add(options.onProgress)
    return current.promise
  }
  const listeners = new Set<Progress>()
  if (options.onProgress) listeners.add(options.onProgress)
  const tell: Progress = (event) => {
    for (const listener of listeners) listener(event)
  }
  const promise = buildLocked(cacheDir, key, path, options, tell).finally(() => running.delete(path))
  running.set(path, { promise, listeners })
  return promise
}

async function buildLocked(
  cacheDir: string,
  key: string,
  path: string,
  options: CacheEntryOptions,
  tell: Progress,
): Promise<string> {
  const locks = join(cacheDir, '.locks')
  const temps = join(cacheDir, '.tmp')
  await mkdir(temps, { recursive: true })
  const lock = await acquireLock(join(locks, `${key.replaceAll('/', '~')}.lock`), {
    bytes: options.needBytes,
    what: key,
    ...(options.signal ? { signal: options.signal } : {}),
    onWait: (holder) => tell({ message: `waiting for process ${holder.pid}, which makes ${key}` }),
  })
  const tmp = join(temps, lock.token)
  try {
    if (existsSync(path)) return path
    const live = await liveLocks(locks)
    await sweep(temps, live)
    await checkSpace(cacheDir, key, options, live, lock.token)
    await mkdir(tmp)
    await options.build(tmp, tell)
    await mkdir(dirname(path), { recursive: true })
    await publish(tmp, path)
    return path
  } finally {
    await rm(tmp, { recursive: true, force: true })
    await lock.release()
  }
}

async function publish(tmp: string, path: string): Promise<void> {
  try {
    await rename(tmp, path)
  } catch (error) {
    // The same entry made elsewhere is as good as ours.
    if (!existsSync(path)) throw error
  }
}

/** Bytes announced by each live lock, by token. */
async function liveLocks(locks: string): Promise<Map<string, number>> {
  const live = new Map<string, number>()
  for (const name of await readdir(locks)) {
    if (!name.endsWith('.lock')) continue
    const file = join(locks, name)
    const holder = await readLock(file)
    if (holder !== undefined && (await isLive(file, holder))) live.set(holder.token, holder.bytes)
  }
  return live
}

// A temporary folder carries the token of the lock it was made under: without that lock it is a leftover.
async function sweep(temps: string, live: Map<string, number>): Promise<void> {
  for (const name of await readdir(temps)) {
    if (!live.has(name)) await rm(join(temps, name), { recursive: true, force: true })
  }
}

async function checkSpace(
  cacheDir: string,
  key: string,
  options: CacheEntryOptions,
  live: Map<string, number>,
  token: string,
): Promise<void> {
  let promised = 0
  for (const [other, bytes] of live) if (other !== token) promised += bytes
  const have = (await freeBytes(cacheDir)) - promised
  if (have >= options.needBytes) return
  throw new DiskSpaceError({
    what: key,
    dir: cacheDir,
    need: options.needBytes,
    have: Math.max(0, have),
    variable: options.variable ?? 'NEMO_CACHE',
  })
}
