// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { link, mkdir, open, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** What a lock file says of its holder. `bytes` is the disk space that the holder is about to use. */
export interface LockRecord {
  pid: number
  host: string
  /** Start time of the process in clock ticks since boot, where the system tells it: guards against pid reuse. */
  startTicks: string | undefined
  token: string
  bytes: number
  what: string
  /** When it was taken, ISO 8601. */
  since: string
  /** What the holder tells about itself. */
  info: Record<string, unknown>
}

const HEARTBEAT_MS = 10_000
/** A holder on another host that has not touched its lock for this long is taken for dead. */
const FOREIGN_STALE_MS = 60_000
const POLL_MS = 250

const ownTokens = new Set<string>()

export interface HeldLock {
  token: string
  /** Replaces what the lock tells about its holder. */
  tell(info: Record<string, unknown>): Promise<void>
  release(): Promise<void>
}

export interface LockOptions {
  bytes?: number
  what: string
  info?: Record<string, unknown>
}

/**
 * Takes the lock file at `path`, waiting for as long as its holder lives; a dead holder's lock is taken over.
 * `onWait` is called once for each other holder that is waited for.
 */
export async function acquireLock(
  path: string,
  args: LockOptions & { onWait?: (holder: LockRecord) => void; signal?: AbortSignal },
): Promise<HeldLock> {
  let waitedFor = ''
  for (;;) {
    args.signal?.throwIfAborted()
    const result = await tryLock(path, args)
    if ('lock' in result) return result.lock
    if (waitedFor !== result.holder.token) args.onWait?.(result.holder)
    waitedFor = result.holder.token
    await sleep(POLL_MS, undefined, args.signal ? { signal: args.signal } : undefined)
  }
}

/** Takes the lock file at `path`, or tells which living holder has it. A dead holder's lock is taken over. */
export async function tryLock(
  path: string,
  args: LockOptions,
): Promise<{ lock: HeldLock } | { holder: LockRecord }> {
  await mkdir(dirname(path), { recursive: true })
  const record: LockRecord = {
    pid: process.pid,
    host: hostname(),
    startTicks: processStartTicks(process.pid),
    token: randomUUID(),
    bytes: args.bytes ?? 0,
    what: args.what,
    since: new Date().toISOString(),
    info: args.info ?? {},
  }
  while (!(await tryCreate(path, record))) {
    const holder = await readLock(path)
    if (holder === undefined) continue
    if (await isLive(path, holder)) return { holder }
    await removeStale(path, holder)
  }
  return { lock: hold(path, record) }
}

function hold(path: string, record: LockRecord): HeldLock {
  const { token } = record
  const beat = setInterval(() => {
    const now = new Date()
    utimes(path, now, now).catch(() => undefined)
  }, HEARTBEAT_MS)
  beat.unref()
  return {
    token,
    tell: async (info) => {
      const own = `${path}.${token}`
      await writeFile(own, JSON.stringify({ ...record, info }))
      await rename(own, path)
    },
    release: async () => {
      clearInterval(beat)
      ownTokens.delete(token)
      if ((await readLock(path))?.token === token) await rm(path, { force: true })
    },
  }
}

/** The record in a lock file; undefined when there is none. A torn or foreign file reads as a dead holder. */
export async function readLock(path: string): Promise<LockRecord | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch {
    return undefined
  }
  try {
    const value = JSON.parse(text) as Partial<LockRecord>
    return {
      pid: Number(value.pid ?? 0),
      host: String(value.host ?? ''),
      startTicks: value.startTicks,
      token: String(value.token ?? ''),
      bytes: Number(value.bytes ?? 0),
      what: String(value.what ?? ''),
      since: String(value.since ?? ''),
      info: value.info ?? {},
    }
  } catch {
    return {
      pid: 0,
      host: hostname(),
      startTicks: undefined,
      token: '',
      bytes: 0,
      what: '',
      since: '',
      info: {},
    }
  }
}

/** Whether the holder that a lock file names still runs. */
export async function isLive(path: string, holder: LockRecord): Promise<boolean> {
  if (holder.host !== hostname()) {
    const info = await stat(path).catch(() => undefined)
    return info !== undefined && Date.now() - info.mtimeMs < FOREIGN_STALE_MS
  }
  if (holder.pid === process.pid) return ownTokens.has(holder.token)
  if (!(holder.pid > 0) || !processExists(holder.pid)) return false
  const ticks = processStartTicks(holder.pid)
  return holder.startTicks === undefined || ticks === undefined || ticks === holder.startTicks
}

// The record is written to a file of its own and linked into place, so that no reader sees half a record.
async function tryCreate(path: string, record: LockRecord): Promise<boolean> {
  const own = `${path}.${record.token}`
  const file = await open(own, 'wx')
  try {
    await file.writeFile(JSON.stringify(record))
  } finally {
    await file.close()
  }
  ownTokens.add(record.token)
  try {
    await link(own, path)
    return true
  } catch (error) {
    ownTokens.delete(record.token)
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(own, { force: true })
  }
}

// Of several processes that see the same stale lock, the rename lets one through. Should it have caught a lock
// that was taken meanwhile, it is put back.
async function removeStale(path: string, seen: LockRecord): Promise<void> {
  const aside = `${path}.stale-${randomUUID()}`
  try {
    await rename(path, aside)
  } catch {
    return
  }
  const caught = await readLock(aside)
  if (caught !== undefined && caught.token !== seen.token) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true })
}

function processExists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Start time of a process in clock ticks since boot; undefined where the system does not tell. */
export function processStartTicks(pid: number): string | undefined {
  const path = `/proc/${pid}/stat`
  if (!existsSync(path)) return undefined
  try {
    const text = readFileSync(path, 'utf8')
    // The command name may hold spaces and brackets: fields are counted after its closing bracket.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19]
  } catch {
    return undefined
  }
}
