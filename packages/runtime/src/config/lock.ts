// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Who holds a lock file. `started` tells a process from another that got the same number later. */
export interface LockHolder {
  pid: number
  started: string | null
  since: string
  info: Record<string, unknown>
}

/** The lock is held by a living process. */
export class LockHeldError extends Error {
  readonly holder: LockHolder

  constructor(path: string, holder: LockHolder) {
    super(
      `${dirname(path)} is in use by process ${holder.pid} since ${holder.since}: ` +
        'stop it (`nemoctl down`), or set NEMO_HOME to another folder',
    )
    this.name = 'LockHeldError'
    this.holder = holder
  }
}

export interface FileLock {
  /** Replaces the free-form information that readLock shows. */
  update(info: Record<string, unknown>): Promise<void>
  release(): Promise<void>
}

/**
 * Takes the lock file at `path`, or throws LockHeldError. A lock whose process is gone is taken over:
 * it is moved aside first, so that of two that see it stale only one wins.
 */
export async function takeLock(path: string, info: Record<string, unknown> = {}): Promise<FileLock> {
  await mkdir(dirname(path), { recursive: true })
  const holder = (): LockHolder => ({
    pid: process.pid,
    started: processStart(process.pid),
    since: new Date().toISOString(),
    info,
  })
  for (let attempt = 0; attempt < 5; attempt++) {
    const own = `${path}.${process.pid}.tmp`
    await writeFile(own, JSON.stringify(holder()))
    try {
      // A link appears with its content, where a file made and then written would look stale in between.
      await link(own, path)
      return {
        update: async (next) => {
          await writeFile(own, JSON.stringify({ ...holder(), info: next }))
          await rename(own, path)
        },
        release: () => rm(path, { force: true }),
      }
    } catch (err) {
      if (!(err instanceof Error && 'code' in err && err.code === 'EEXIST')) throw err
    } finally {
      await rm(own, { force: true })
    }
    const current = await readLock(path)
    if (current) throw new LockHeldError(path, current)
    const aside = `${path}.stale.${process.pid}`
    await rename(path, aside).catch(() => undefined)
    await rm(aside, { force: true })
  }
  throw new Error(`could not take the lock ${path}`)
}

/** The living holder of a lock file, or undefined when there is none. */
export async function readLock(path: string): Promise<LockHolder | undefined> {
  let holder: LockHolder
  try {
    holder = JSON.parse(await readFile(path, 'utf8'))
  } catch {
    return undefined
  }
  return typeof holder?.pid === 'number' && isAlive(holder) ? holder : undefined
}

/** Start time of a process in clock ticks since boot (Linux), or null where that cannot be told. */
export function processStart(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command name may hold spaces and brackets, so fields are counted from its closing bracket.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null
  } catch {
    return null
  }
}

function isAlive(holder: LockHolder): boolean {
  try {
    process.kill(holder.pid, 0)
  } catch (err) {
    return err instanceof Error && 'code' in err && err.code === 'EPERM'
  }
  const started = processStart(holder.pid)
  return started === null || holder.started === null || started === holder.started
}
