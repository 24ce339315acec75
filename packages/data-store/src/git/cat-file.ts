// SPDX-License-Identifier: Apache-2.0
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { GitError, startGit, startMessage } from './run.ts'

export interface ObjectInfo {
  oid: string
  type: string
  size: number
}
export interface GitObject extends ObjectInfo {
  content: Buffer
}

interface Waiting {
  withContent: boolean
  resolve(value: GitObject | undefined): void
  reject(error: Error): void
}

const EMPTY = Buffer.alloc(0)
const IDLE_MS = 30_000

/** One long-lived `git cat-file`: answers come in the order of the questions. */
class Batch {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #waiting: Waiting[] = []
  readonly #withContent: boolean
  #chunks: Buffer[] = []
  #length = 0
  #needed = 0
  #failure: Error | undefined
  lastUsed = Date.now()

  constructor(gitDir: string, withContent: boolean) {
    this.#withContent = withContent
    this.#child = startGit(gitDir, ['cat-file', withContent ? '--batch' : '--batch-check'])
    this.#child.stdout.on('data', (chunk: Buffer) => this.#receive(chunk))
    this.#child.stdin.on('error', () => {})
    this.#child.stderr.resume()
    this.#child.on('error', (err) => this.#fail(new GitError(['cat-file'], null, startMessage(err))))
    this.#child.on('close', (code) => this.#fail(new GitError(['cat-file'], code, 'it ended')))
    this.#child.unref()
    for (const stream of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) {
      ;(stream as unknown as { unref?: () => void }).unref?.()
    }
  }

  get usable(): boolean {
    return this.#failure === undefined
  }
  get busy(): boolean {
    return this.#waiting.length > 0
  }

  ask(name: string): Promise<GitObject | undefined> {
    if (/[\n\0]/.test(name)) return Promise.resolve(undefined)
    this.lastUsed = Date.now()
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure)
      this.#waiting.push({ withContent: this.#withContent, resolve, reject })
      this.#child.stdin.write(`${name}\n`)
    })
  }

  end(): void {
    this.#child.stdin.end()
  }

  #receive(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#length += chunk.length
    while (this.#length > this.#needed && this.#take());
  }

  /** Takes one answer from what has come; false when more has to come first. */
  #take(): boolean {
    const whole = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks)
    this.#chunks = [whole]
    const eol = whole.indexOf(10)
    if (eol < 0) return this.#wait(whole.length)
    const header = whole.toString('latin1', 0, eol)
    const match = /^([0-9a-f]{40,64}) (\w+) (\d+)$/.exec(header)
    let end = eol + 1
    let answer: GitObject | undefined
    if (match?.[1] && match[2]) {
      const size = Number(match[3])
      const content = this.#withContent ? size + 1 : 0
      if (whole.length < end + content) return this.#wait(end + content - 1)
      // copied, so that a small blob does not keep the whole chunk in memory
      const bytes = this.#withContent ? Buffer.from(whole.subarray(end, end + size)) : EMPTY
      answer = { oid: match[1], type: match[2], size, content: bytes }
      end += content
    }
    const rest = whole.subarray(end)
    this.#chunks = rest.length ? [rest] : []
    this.#length = rest.length
    this.#needed = 0
    this.#waiting.shift()?.resolve(answer)
    return this.#length > 0
  }

  #wait(needed: number): boolean {
    this.#needed = needed
    return false
  }

  #fail(error: Error): void {
    this.#failure ??= error
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error)
  }
}

/**
 * Reads git objects through a few long-lived processes, at most two for each of the `limit` repositories used
 * last. Names are full object ids, `<rev>^{commit}` or `<commit>:<path>`, checked by the caller.
 */
export class ObjectReader {
  readonly #batches = new Map<string, Batch>()
  readonly #limit: number
  readonly #timer: NodeJS.Timeout

  constructor(limit = 8) {
    this.#limit = limit * 2
    this.#timer = setInterval(() => this.#endIdle(), IDLE_MS / 2).unref()
  }

  /** Id, type and size of an object, or undefined when there is none by that name. */
  async info(gitDir: string, name: string): Promise<ObjectInfo | undefined> {
    return this.#batch(gitDir, false).ask(name)
  }

  /** An object with its content in memory; content of users over the inline limit is never a git object. */
  async read(gitDir: string, name: string): Promise<GitObject | undefined> {
    return this.#batch(gitDir, true).ask(name)
  }

  /** Ends the processes of a repository that is about to go. */
  forget(gitDir: string): void {
    for (const key of [`0${gitDir}`, `1${gitDir}`]) {
      this.#batches.get(key)?.end()
      this.#batches.delete(key)
    }
  }

  close(): void {
    clearInterval(this.#timer)
    for (const batch of this.#batches.values()) batch.end()
    this.#batches.clear()
  }

  #batch(gitDir: string, withContent: boolean): Batch {
    const key = `${withContent ? 1 : 0}${gitDir}`
    let batch = this.#batches.get(key)
    if (!batch?.usable) batch = new Batch(gitDir, withContent)
    // set again: a Map keeps the order of insertion, so the first key is the one used longest ago
    this.#batches.delete(key)
    this.#batches.set(key, batch)
    for (const [oldest, old] of this.#batches) {
      if (this.#batches.size <= this.#limit) break
      if (oldest === key) continue
      old.end()
      this.#batches.delete(oldest)
    }
    return batch
  }

  #endIdle(): void {
    for (const [key, batch] of this.#batches) {
      if (batch.busy || Date.now() - batch.lastUsed < IDLE_MS) continue
      batch.end()
      this.#batches.delete(key)
    }
  }
}
