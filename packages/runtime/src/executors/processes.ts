// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { processStart } from '../config/lock.ts'

/** A process, told from a later one with the same number by its start time. */
export interface ProcessId {
  pid: number
  /** Clock ticks since boot; null where the system does not tell. */
  started: string | null
}

/** Whether this very process still runs; one that ended and waits for its parent counts as gone. */
export function isRunning({ pid, started }: ProcessId): boolean {
  try {
    process.kill(pid, 0)
  } catch (err) {
    if (!(err instanceof Error && 'code' in err && err.code === 'EPERM')) return false
  }
  const now = processStart(pid)
  if (started !== null && now !== null && now !== started) return false
  return state(pid) !== 'Z'
}

/** Sends a signal to the group that `pid` leads; a group that is gone is no error. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch (err) {
    if (!(err instanceof Error && 'code' in err && err.code === 'ESRCH')) throw err
  }
}

/** Waits until the process is gone; false when it still runs after `ms`. */
export async function waitGone(id: ProcessId, ms: number): Promise<boolean> {
  const end = Date.now() + ms
  while (isRunning(id)) {
    if (Date.now() >= end) return false
    await sleep(25)
  }
  return true
}

/** Resident bytes of a process and all below it; 0 where the system does not tell. */
export async function residentBytes(pid: number): Promise<number> {
  const own = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const kib = Number(/^VmRSS:\s+(\d+) kB/m.exec(own)?.[1] ?? 0)
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  let total = kib * 1024
  for (const child of text.split(' ').filter(Boolean)) total += await residentBytes(Number(child))
  return total
}

function state(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2)[0]
  } catch {
    return undefined
  }
}
