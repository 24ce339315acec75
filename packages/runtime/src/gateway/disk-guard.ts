// SPDX-License-Identifier: Apache-2.0
import { statfs } from 'node:fs/promises'
import { platformErrors } from '@open-nemo/contract/platform/errors.ts'

/** Below this the embedded database could be left without room for its log, which it does not survive. */
const RESERVE_BYTES = 48 * 1024 * 1024
const LOOK_MS = 500
/** Deletions make room; git and the hub read by POST too, but they may add, so they wait. */
const ALWAYS = new Set(['GET', 'HEAD', 'OPTIONS', 'DELETE'])

/** Refuses what adds data while the disk is nearly full. */
export interface DiskGuard {
  /** The refusal of a request, or undefined when it may go on. */
  refusal(method: string): Error | undefined
  stop(): void
}

/** Watches the disk of a folder. `look` is for tests. */
export async function watchDisk(
  dir: string,
  look: () => Promise<{ bavail: number; bsize: number }> = () => statfs(dir),
): Promise<DiskGuard> {
  let free = Number.POSITIVE_INFINITY
  const measure = async () => {
    try {
      const { bavail, bsize } = await look()
      free = bavail * bsize
    } catch {
      // A disk that cannot be asked is not called full.
      free = Number.POSITIVE_INFINITY
    }
  }
  await measure()
  const timer = setInterval(() => void measure(), LOOK_MS)
  timer.unref()
  return {
    refusal(method) {
      if (free >= RESERVE_BYTES || ALWAYS.has(method)) return undefined
      return platformErrors
        .DISK_FULL({ dir, free: Math.floor(free / 1e6) })
        .with({ 'x-should-retry': 'false' })
    },
    stop: () => clearInterval(timer),
  }
}
