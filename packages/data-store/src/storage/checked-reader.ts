// SPDX-License-Identifier: Apache-2.0
import type { Stats } from 'node:fs'
import { hasherFor } from './hasher.ts'
import type { BlockReader } from './objects.ts'

const MOST = 100_000
/** Blocks that may wait for the hashing thread while the next one is read. */
const AHEAD = 2

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
 * breaks an answer off instead of giving other bytes. A large one is hashed on another thread while it is sent.
 */
export class CheckedReader implements BlockReader {
  readonly #from: BlockReader
  readonly #object: Checked
  readonly #hasher: ReturnType<typeof hasherFor>
  /** Blocks that are being hashed, the oldest first. */
  readonly #hashing: { memory: ArrayBufferLike; done: Promise<void> }[] = []
  #left: number
  #ended = false

  constructor(from: BlockReader, object: Checked) {
    this.#from = from
    this.#object = object
    this.#hasher = hasherFor(object.size)
    this.#left = object.size
  }

  async read(block: Uint8Array): Promise<number> {
    while (this.#hashing.length >= AHEAD || this.#hashing.some(({ memory }) => memory === block.buffer))
      await this.#hashing.shift()?.done
    const bytesRead = await this.#from.read(block)
    if (bytesRead === 0) return 0
    const done = this.#hasher.update(block.subarray(0, bytesRead))
    if (done) this.#hashing.push({ memory: block.buffer, done })
    // Whoever waits for it is told; nobody waits where the download ends early.
    done?.catch(() => {})
    this.#left -= bytesRead
    if (this.#left <= 0) await this.#check()
    return bytesRead
  }

  async close(): Promise<void> {
    if (!this.#ended) this.#hasher.drop()
    this.#ended = true
    await Promise.allSettled(this.#hashing.map(({ done }) => done))
    await this.#from.close()
  }

  async #check(): Promise<void> {
    this.#ended = true
    const is = await this.#hasher.digest()
    const { oid, seen, damaged } = this.#object
    if (is === oid) return seen()
    const err = new Error(`the stored object ${oid} has the sha256 ${is}`)
    damaged(err)
    throw err
  }
}
