// SPDX-License-Identifier: Apache-2.0
import { dirname } from 'node:path'
import { isLive, type LockRecord, processStartTicks, readLock as readRecord, tryLock } from '../cache/lock.ts'

/** The lock on a data folder is held by a living process. */
export class LockHeldError extends Error {
  readonly holder: LockRecord

  constructor(path: string, holder: LockRecord) {
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

/** Takes the lock on a data folder, or throws LockHeldError at once. A dead holder's lock is taken over. */
export async function takeLock(path: string, info: Record<string, unknown> = {}): Promise<FileLock> {
  const result = await tryLock(path, { what: 'data', info })
  if ('holder' in result) throw new LockHeldError(path, result.holder)
  return { update: result.lock.tell, release: result.lock.release }
}

/** The living holder of a lock file, or undefined when there is none. */
export async function readLock(path: string): Promise<LockRecord | undefined> {
  const holder = await readRecord(path)
  return holder && (await isLive(path, holder)) ? holder : undefined
}

/** Start time of a process in clock ticks since boot (Linux), or null where that cannot be told. */
export const processStart = (pid: number): string | null => processStartTicks(pid) ?? null
