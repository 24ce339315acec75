// SPDX-License-Identifier: Apache-2.0

/** What may be sent on, and the stop text that ended the stream, if one did. */
export interface Piece {
  text: string
  stopped: boolean
}

/**
 * Turns pieces of generated text into what may be shown: the text before the first stop sequence. Text that might
 * still become a stop sequence is held back, and so is half a character (U+FFFD at the end).
 */
export class StopFilter {
  #stops: string[]
  #held = ''

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((s) => s !== '')
  }

  push(text: string): Piece {
    this.#held += text
    const at = this.#firstStop()
    if (at >= 0) {
      const out = this.#held.slice(0, at)
      this.#held = ''
      return { text: out, stopped: true }
    }
    const keep = this.#tailLength()
    const out = this.#held.slice(0, this.#held.length - keep)
    this.#held = this.#held.slice(this.#held.length - keep)
    return { text: out, stopped: false }
  }

  /** The text still held back, when no more comes. */
  flush(): string {
    const out = this.#held
    this.#held = ''
    return out
  }

  #firstStop(): number {
    let first = -1
    for (const stop of this.#stops) {
      const at = this.#held.indexOf(stop)
      if (at >= 0 && (first < 0 || at < first)) first = at
    }
    return first
  }

  /** Length of the longest end of the held text that begins a stop sequence. */
  #tailLength(): number {
    let keep = 0
    for (const stop of this.#stops) {
      for (let n = Math.min(stop.length - 1, this.#held.length); n > keep; n--) {
        if (this.#held.endsWith(stop.slice(0, n))) keep = n
      }
    }
    return keep
  }
}

/** Most tokens of one character: byte tokens of a four-byte character, and some room. */
const MAX_PARTIAL_TOKENS = 8

/** Joins tokens to text without ever giving half a character away. */
export class TokenDecoder<T> {
  #decode: (tokens: T[], before: T[]) => string
  #before: T[] = []
  #pending: T[] = []

  constructor(decode: (tokens: T[], before: T[]) => string, before: readonly T[] = []) {
    this.#decode = decode
    this.#before = before.slice(-4)
  }

  push(token: T): string {
    this.#pending.push(token)
    const text = this.#decode(this.#pending, this.#before)
    if (text.endsWith('\ufffd') && this.#pending.length < MAX_PARTIAL_TOKENS) return ''
    this.#settle()
    return text
  }

  flush(): string {
    if (this.#pending.length === 0) return ''
    const text = this.#decode(this.#pending, this.#before)
    this.#settle()
    return text
  }

  #settle(): void {
    this.#before = [...this.#before, ...this.#pending].slice(-4)
    this.#pending = []
  }
}
