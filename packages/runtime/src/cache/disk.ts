// SPDX-License-Identifier: Apache-2.0
import { statfs } from 'node:fs/promises'

/** There is not enough room for something that is about to be made. */
export class DiskSpaceError extends Error {
  readonly needBytes: number
  readonly haveBytes: number

  constructor(args: { what: string; dir: string; need: number; have: number; variable: string }) {
    super(
      `not enough disk space for ${args.what}: needs ${formatBytes(args.need)}, has ${formatBytes(args.have)} ` +
        `free at ${args.dir}. Free some space, or set ${args.variable} to a folder on a larger disk`,
    )
    this.name = 'DiskSpaceError'
    this.needBytes = args.need
    this.haveBytes = args.have
  }
}

/** Bytes that this user may still write on the file system that holds `dir`. */
export async function freeBytes(dir: string): Promise<number> {
  const info = await statfs(dir)
  return info.bavail * info.bsize
}

/** 1536 -> '1.5 KB' (powers of 1000, one decimal). */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}
