// SPDX-License-Identifier: Apache-2.0
import { randomFillSync } from 'node:crypto'
import { open, rename, rm, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'

const MB = 1024 * 1024
/** PostgreSQL's log grows by files of 16 MB; an opening after a crash begins one, and writes some pages beside it. */
export const OPENING_BYTES = 20 * MB
const BYTES = 24 * MB
/** The reserve is made again only when so much is left beside it. */
const BESIDE = 24 * MB

type Look = (dir: string) => Promise<{ bavail: number; bsize: number }>

/**
 * A file that only takes up room. It is given up when the disk is full and the database has crashed over it: what it
 * held is enough to open the database again, and to read from it.
 */
export class Reserve {
  readonly #path: string
  readonly #look: Look

  /** `look` is for tests. */
  constructor(path: string, look: Look = statfs) {
    this.#path = path
    this.#look = look
  }

  /** Makes it, where it is missing and there is room. Tells whether it is there. */
  async make(): Promise<boolean> {
    const there = await stat(this.#path).catch(() => undefined)
    if (there) return true
    if ((await this.free()) < BYTES + BESIDE) return false
    const fresh = `${this.#path}.new`
    try {
      const file = await open(fresh, 'w', 0o600)
      // Bytes that no file system packs.
      const block = randomFillSync(Buffer.allocUnsafeSlow(MB))
      try {
        for (let at = 0; at < BYTES; at += MB) await file.write(block, 0, MB, at)
      } finally {
        await file.close()
      }
      await rename(fresh, this.#path)
      return true
    } catch {
      await rm(fresh, { force: true })
      return false
    }
  }

  /** Gives its room back to the disk. */
  async giveUp(): Promise<void> {
    await rm(this.#path, { force: true })
  }

  /** Bytes that are left on its disk; a disk that cannot be asked has enough. */
  async free(): Promise<number> {
    try {
      const { bavail, bsize } = await this.#look(dirname(this.#path))
      return bavail * bsize
    } catch {
      return Number.POSITIVE_INFINITY
    }
  }
}
