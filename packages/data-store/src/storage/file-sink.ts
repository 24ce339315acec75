// SPDX-License-Identifier: Apache-2.0
import { type FileHandle, open, rm } from 'node:fs/promises'
import { type Hasher, hasherFor } from './hasher.ts'

const BLOCK = 1024 * 1024
/** How many blocks may be on their way to the disk while the next one fills. */
const BLOCKS = 4
/** The disk is asked to write after this much, so that the last sync has little left to do. */
const SYNC_EVERY = 64 * BLOCK

/**
 * Writes a temporary file of any size with a fixed amount of memory, hashing (sha256) on the way.
 * Call write or base64 and await what they return; then finish, or discard.
 */
export class FileSink {
  readonly path: string
  size = 0
  readonly #file: FileHandle
  readonly #hasher: Hasher
  readonly #free: Buffer[] = []
  #made = 0
  #block: Buffer | undefined
  #used = 0
  #pending = 0
  #position = 0
  #unsynced = 0
  #syncing: Promise<void> | undefined
  #failure: Error | undefined
  #finished = false
  #wake: (() => void) | undefined

  private constructor(path: string, file: FileHandle, hasher: Hasher) {
    this.path = path
    this.#file = file
    this.#hasher = hasher
  }

  /** `expected` is about how many bytes will come, as far as that is known. */
  static async create(path: string, expected = 0): Promise<FileSink> {
    const file = await open(path, 'wx', 0o644)
    return new FileSink(path, file, hasherFor(expected))
  }

  /** Takes a copy of the bytes. The promise, where there is one, is to be awaited before the next call. */
  write(bytes: Uint8Array): Promise<void> | undefined {
    if (!this.#block || bytes.length > BLOCK - this.#used) return this.#writeSlowly(bytes)
    // most chunks fit into the block at hand; a promise for each would cost more than the copy
    this.#block.set(bytes, this.#used)
    this.#advance(this.#block, bytes.length)
    return undefined
  }

  async #writeSlowly(bytes: Uint8Array): Promise<void> {
    let at = 0
    while (at < bytes.length) {
      const block = this.#block ?? (await this.#nextBlock())
      const n = Math.min(bytes.length - at, BLOCK - this.#used)
      block.set(bytes.subarray(at, at + n), this.#used)
      this.#advance(block, n)
      at += n
    }
  }

  /** Decodes base64 text, of a length that is a multiple of 4, straight into the file. False when malformed. */
  async base64(text: string): Promise<boolean> {
    for (let at = 0; at < text.length; ) {
      const block = this.#block ?? (await this.#nextBlock())
      const room = Math.floor((BLOCK - this.#used) / 3) * 4
      if (room === 0) {
        const bytes = Buffer.from(text.slice(at, at + 4), 'base64')
        if (bytes.length !== expectedBytes(text, at, at + 4)) return false
        await this.write(bytes)
        at += 4
        continue
      }
      const end = Math.min(at + room, text.length)
      const piece = at === 0 && end === text.length ? text : text.slice(at, end)
      const n = block.write(piece, this.#used, 'base64')
      if (n !== expectedBytes(text, at, end)) return false
      this.#advance(block, n)
      at = end
    }
    return true
  }

  /** Everything on the disk; gives the sha256 (hex) and the size. The file stays where it is. */
  async finish(): Promise<{ sha256: string; size: number }> {
    if (this.#block && this.#used > 0) this.#flush(this.#block)
    while (this.#pending > 0) await this.#change()
    await this.#syncing
    if (this.#failure) throw this.#failure
    const [sha256] = await Promise.all([this.#hasher.digest(), this.#file.datasync()])
    this.#finished = true
    await this.#file.close()
    return { sha256, size: this.size }
  }

  /** Removes the file; safe to call at any time, also after finish. */
  async discard(): Promise<void> {
    while (this.#pending > 0) await this.#change()
    await this.#syncing
    if (!this.#finished) this.#hasher.drop()
    this.#finished = true
    await this.#file.close().catch(() => {})
    await rm(this.path, { force: true })
  }

  #advance(block: Buffer, n: number): void {
    this.#used += n
    this.size += n
    if (this.#used === BLOCK) this.#flush(block)
  }

  #flush(block: Buffer): void {
    const bytes = block.subarray(0, this.#used)
    const hashed = this.#hasher.update(bytes)
    this.#block = undefined
    this.#used = 0
    this.#pending++
    const position = this.#position
    this.#position += bytes.length
    Promise.all([writeAll(this.#file, bytes, position), hashed])
      .catch((err: Error) => {
        this.#failure ??= err
      })
      .finally(() => {
        this.#pending--
        this.#free.push(block)
        this.#unsynced += bytes.length
        if (this.#unsynced >= SYNC_EVERY) this.#sync()
        this.#wake?.()
      })
  }

  #sync(): void {
    if (this.#syncing) return
    this.#unsynced = 0
    this.#syncing = this.#file
      .datasync()
      .catch((err: Error) => {
        this.#failure ??= err
      })
      .finally(() => {
        this.#syncing = undefined
      })
  }

  async #nextBlock(): Promise<Buffer> {
    while (this.#free.length === 0 && this.#made === BLOCKS) await this.#change()
    if (this.#failure) throw this.#failure
    let block = this.#free.pop()
    if (!block) {
      block = Buffer.from(new SharedArrayBuffer(BLOCK))
      this.#made++
    }
    this.#block = block
    return block
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, position + at)
    at += bytesWritten
  }
}

/** Bytes that `text[from..to)` decodes to when it is well-formed base64; padding counts only at the very end. */
function expectedBytes(text: string, from: number, to: number): number {
  const full = ((to - from) / 4) * 3
  if (to !== text.length || text.charCodeAt(to - 1) !== 61) return full
  return text.charCodeAt(to - 2) === 61 ? full - 2 : full - 1
}
