// SPDX-License-Identifier: Apache-2.0
import { StringDecoder } from 'node:string_decoder'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'

/** One line of a commit body. `content` of a long line does not appear here; it went to the callback. */
export interface CommitLine {
  line: number
  key: string
  value: Record<string, unknown>
  /** Whether the content of this line was handed over as a stream. */
  streamed: boolean
}

/** Receives the raw text of a long line's content piece by piece. */
export interface ContentReceiver {
  /** A long content begins; what the line said before it (perhaps its path and encoding) is in `value`. */
  begin(value: Record<string, unknown>, line: number): Promise<void>
  /** A piece of the text, JSON escapes already undone. */
  text(piece: string): Promise<void>
}

export interface ScanOptions {
  /** Lines up to this many bytes are parsed at once; longer ones are streamed. */
  longLine: number
  /** Most bytes of a key, or of a string that is not content. */
  maxString: number
}

const DEFAULTS: ScanOptions = { longLine: 512 * 1024, maxString: 64 * 1024 }
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Reads the NDJSON of a commit in bounded memory: a 2 GB file may come as one line of 2.7 GB.
 * Throws COMMIT_REFUSED, naming the line, for anything that is not such a body.
 */
export async function* scanCommit(
  source: AsyncIterable<Uint8Array>,
  receiver: ContentReceiver,
  options: Partial<ScanOptions> = {},
): AsyncGenerator<CommitLine, void> {
  const { longLine, maxString } = { ...DEFAULTS, ...options }
  const input = new Input(source)
  for (let line = 1; ; line++) {
    const short = await input.shortLine(longLine)
    if (short === 'end') return
    if (short === 'long') {
      const parser = new LongLine(input, receiver, line, maxString)
      yield await parser.parse()
      continue
    }
    if (/\S/.test(short.toString('latin1', 0, 64)) || short.length > 64) yield parseShort(short, line)
  }
}

function parseShort(bytes: Buffer, line: number): CommitLine {
  let parsed: unknown
  try {
    parsed = JSON.parse(utf8.decode(bytes))
  } catch (err) {
    throw refuse(`not JSON in UTF-8: ${err instanceof Error ? err.message : err}`, line)
  }
  return check(parsed, line, false)
}

function check(parsed: unknown, line: number, streamed: boolean): CommitLine {
  if (!isObject(parsed)) throw refuse('a line is not an object', line)
  if (typeof parsed.key !== 'string') throw refuse('a line lacks its "key"', line)
  if (!isObject(parsed.value)) throw refuse(`"value" of ${parsed.key} is not an object`, line)
  return { line, key: parsed.key, value: parsed.value, streamed }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function refuse(reason: string, line: number) {
  return dataStoreErrors.COMMIT_REFUSED({ reason: reason.toWellFormed().slice(0, 300), line })
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const NEWLINE = 0x0a

/** The bytes of a stream, with as much held as the caller asks for. */
class Input {
  readonly #source: AsyncIterator<Uint8Array>
  chunk: Buffer = Buffer.alloc(0)
  at = 0
  #ended = false

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Makes sure that a byte is there; false at the end. */
  async more(): Promise<boolean> {
    while (this.at >= this.chunk.length) {
      const next = await this.#pull()
      if (!next) return false
      this.chunk = next
      this.at = 0
    }
    return true
  }

  /** The next line without its end, or `long` (nothing is consumed) when it exceeds `limit`, or `end`. */
  async shortLine(limit: number): Promise<Buffer | 'long' | 'end'> {
    if (!(await this.more())) return 'end'
    const parts: Buffer[] = [this.chunk.subarray(this.at)]
    let total = this.chunk.length - this.at
    let eol = (parts[0] as Buffer).indexOf(NEWLINE)
    let before = 0
    while (eol < 0 && total <= limit) {
      const next = await this.#pull()
      if (!next) break
      parts.push(next)
      before = total
      total += next.length
      eol = next.indexOf(NEWLINE)
    }
    const whole = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts, total)
    this.chunk = whole
    const end = eol < 0 ? total : before + eol
    if (end > limit) {
      this.at = 0
      return 'long'
    }
    this.at = Math.min(total, end + 1)
    return whole.subarray(0, end)
  }

  async #pull(): Promise<Buffer | undefined> {
    while (!this.#ended) {
      const { value, done } = await this.#source.next()
      if (done) this.#ended = true
      else if (value.length) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    }
    return undefined
  }
}

/** A JSON parser for one line that is too long to hold; only `value.content` may be long. */
class LongLine {
  readonly #in: Input
  readonly #receiver: ContentReceiver
  readonly #line: number
  readonly #maxString: number
  #budget: number
  #streamed = false

  constructor(input: Input, receiver: ContentReceiver, line: number, maxString: number) {
    this.#in = input
    this.#receiver = receiver
    this.#line = line
    this.#maxString = maxString
    this.#budget = maxString * 4
  }

  async parse(): Promise<CommitLine> {
    const parsed = await this.#value('')
    while (await this.#in.more()) {
      const byte = this.#in.chunk[this.#in.at++] as number
      if (byte === NEWLINE) break
      if (!isSpace(byte)) throw this.#error('something follows the object')
    }
    return check(parsed, this.#line, this.#streamed)
  }

  /** `path` is the place in the line: '' the line, 'value' its value, 'value.content' the content, '*' deeper. */
  async #value(path: string, depth = 0, owner: Record<string, unknown> = {}): Promise<unknown> {
    if (depth > 8) throw this.#error('it is nested too deeply')
    const byte = await this.#visible()
    if (byte === QUOTE) {
      if (path !== 'value.content') return this.#string()
      if (this.#streamed) throw this.#error('it has two contents')
      this.#streamed = true
      await this.#receiver.begin(owner, this.#line)
      await this.#content()
      return undefined
    }
    if (byte === 0x7b) return this.#object(path, depth)
    if (byte === 0x5b) return this.#array(depth)
    return this.#literal(byte)
  }

  async #object(path: string, depth: number): Promise<Record<string, unknown>> {
    const object: Record<string, unknown> = Object.create(null)
    let byte = await this.#visible()
    if (byte === 0x7d) return object
    for (;;) {
      if (byte !== QUOTE) throw this.#error('a name is missing')
      const name = await this.#string()
      if ((await this.#visible()) !== 0x3a) throw this.#error('a colon is missing')
      const value = await this.#value(childPath(path, name), depth + 1, object)
      if (value !== undefined) object[name] = value
      byte = await this.#visible()
      if (byte === 0x7d) return object
      if (byte !== 0x2c) throw this.#error('a comma is missing')
      byte = await this.#visible()
    }
  }

  async #array(depth: number): Promise<unknown[]> {
    const array: unknown[] = []
    for (;;) {
      // a closing bracket right away, or after a comma, is left to #literal to refuse or here to accept
      if (array.length === 0 && (await this.#peekVisible()) === 0x5d) {
        this.#in.at++
        return array
      }
      array.push(await this.#value('*', depth + 1))
      const byte = await this.#visible()
      if (byte === 0x5d) return array
      if (byte !== 0x2c) throw this.#error('a comma is missing')
    }
  }

  async #literal(first: number): Promise<unknown> {
    let text = String.fromCharCode(first)
    while (await this.#in.more()) {
      const byte = this.#in.chunk[this.#in.at] as number
      if (byte === 0x2c || byte === 0x7d || byte === 0x5d || isSpace(byte) || byte === NEWLINE) break
      text += String.fromCharCode(byte)
      this.#in.at++
      if (text.length > 64) throw this.#error('a value is malformed')
    }
    this.#spend(text.length)
    try {
      return JSON.parse(text)
    } catch {
      throw this.#error(`"${text}" is not JSON`)
    }
  }

  /** A short string whose opening quote has been read. */
  async #string(): Promise<string> {
    const bytes: number[] = [QUOTE]
    for (;;) {
      const byte = await this.#byte()
      bytes.push(byte)
      if (byte === QUOTE) break
      if (byte === BACKSLASH) bytes.push(await this.#byte())
      if (bytes.length > this.#maxString)
        throw this.#error(`a string is longer than ${this.#maxString} bytes`)
    }
    this.#spend(bytes.length)
    try {
      return JSON.parse(utf8.decode(Uint8Array.from(bytes))) as string
    } catch {
      throw this.#error('a string is malformed')
    }
  }

  /** The long string whose opening quote has been read: whole stretches at a time. */
  async #content(): Promise<void> {
    const decoder = new StringDecoder('utf8')
    for (;;) {
      if (!(await this.#in.more())) throw this.#error('the body ends inside of it')
      const { chunk, at } = this.#in
      const quote = chunk.indexOf(QUOTE, at)
      const stretch = chunk.subarray(at, quote < 0 ? chunk.length : quote)
      const slash = stretch.indexOf(BACKSLASH)
      const plain = slash < 0 ? stretch : stretch.subarray(0, slash)
      if (plain.includes(NEWLINE)) throw this.#error('a line break inside the content')
      this.#in.at += plain.length
      const text = decoder.write(plain)
      if (text) await this.#receiver.text(text)
      if (slash >= 0) {
        this.#in.at++
        await this.#receiver.text(await this.#escape())
      } else if (quote >= 0) {
        this.#in.at++
        return
      }
    }
  }

  /** One escape after its backslash; a surrogate pair of two, since half of one is no character. */
  async #escape(): Promise<string> {
    const first = await this.#oneEscape()
    if (!/[\ud800-\udbff]/.test(first)) return first
    if ((await this.#byte()) !== BACKSLASH) throw this.#error('half of a surrogate pair')
    const pair = first + (await this.#oneEscape())
    if (!pair.isWellFormed()) throw this.#error('half of a surrogate pair')
    return pair
  }

  async #oneEscape(): Promise<string> {
    let source = `\\${String.fromCharCode(await this.#byte())}`
    if (source === '\\u') for (let i = 0; i < 4; i++) source += String.fromCharCode(await this.#byte())
    try {
      return JSON.parse(`"${source}"`) as string
    } catch {
      throw this.#error('a malformed escape')
    }
  }

  async #byte(): Promise<number> {
    if (this.#in.at >= this.#in.chunk.length && !(await this.#in.more()))
      throw this.#error('the body ends inside of it')
    return this.#in.chunk[this.#in.at++] as number
  }

  async #peekVisible(): Promise<number> {
    const byte = await this.#visible()
    this.#in.at--
    return byte
  }

  async #visible(): Promise<number> {
    for (;;) {
      const byte = await this.#byte()
      if (!isSpace(byte)) return byte
      this.#spend(1)
    }
  }

  #spend(bytes: number): void {
    this.#budget -= bytes
    if (this.#budget < 0) throw this.#error('it is too long outside of its content')
  }

  #error(reason: string) {
    return refuse(reason, this.#line)
  }
}

function childPath(path: string, name: string): string {
  if (path === '') return name === 'value' ? 'value' : '*'
  return path === 'value' && name === 'content' ? 'value.content' : '*'
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d
}
