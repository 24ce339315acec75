// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import type { Stats } from 'node:fs'
import type { BlockReader } from './objects.ts'

const MOST = 100_000

/** Which files have been seen to hold what their name says, as long as nobody writes to them. */
export class SeenWhole {
  #seen = new Set<string>()

  add(oid: string, stats: Stats): void {
    if (this.#seen.size >= MOST) this.#seen.clear()
    this.#seen.add(keyOf(oid, stats))
  }

  has(oid: string, stats: Stats): boolean {
    return this.#seen.has(keyOf(oid, stats))
  }
}

const keyOf = (oid: string, { dev, ino, size, mtimeMs }: Stats) => `${oid} ${dev} ${ino} ${size} ${mtimeMs}`

/**
 * Reads a whole object and gives its last block only when its bytes are those of its name, so that a disk that forgets
 * breaks an answer off instead of giving other bytes. `seen` is called when they are.
 */
export class CheckedReader implements BlockReader {
  readonly #from: BlockReader
  readonly #oid: string
  readonly #seen: () => void
  readonly #hash = createHash('sha256')
  #left: number

  constructor(from: BlockReader, object: { oid: string; size: number; seen: () => void }) {
    this.#from = from
    this.#oid = object.oid
    this.#left = object.size
    this.#seen = object.seen
  }

  async read(block: Uint8Array): Promise<number> {
    const bytesRead = await this.#from.read(block)
    this.#hash.update(block.subarray(0, bytesRead))
    this.#left -= bytesRead
    if (this.#left > 0 || bytesRead === 0) return bytesRead
    const is = this.#hash.digest('hex')
    if (is !== this.#oid) throw new Error(`the stored object ${this.#oid} is damaged: its sha256 is ${is}`)
    this.#seen()
    return bytesRead
  }

  close(): Promise<void> {
    return this.#from.close()
  }
}
