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

/** An object as its name says it is, and who is told which way the check went. */
interface Checked {
  oid: string
  size: number
  seen(): void
  damaged(err: Error): void
}

/**
 * Reads a whole object and gives its last block only when its bytes are those of its name, so that a disk that forgets
 * breaks an answer off instead of giving other bytes.
 */
export class CheckedReader implements BlockReader {
  readonly #from: BlockReader
  readonly #object: Checked
  readonly #hash = createHash('sha256')
  #left: number

  constructor(from: BlockReader, object: Checked) {
    this.#from = from
    this.#object = object
    this.#left = object.size
  }

  async read(block: Uint8Array): Promise<number> {
    const bytesRead = await this.#from.read(block)
    this.#hash.update(block.subarray(0, bytesRead))
    this.#left -= bytesRead
    if (this.#left > 0 || bytesRead === 0) return bytesRead
    const { oid, seen, damaged } = this.#object
    const is = this.#hash.digest('hex')
    if (is !== oid) {
      const err = new Error(`the stored object ${oid} has the sha256 ${is}`)
      damaged(err)
      throw err
    }
    seen()
    return bytesRead
  }

  close(): Promise<void> {
    return this.#from.close()
  }
}
