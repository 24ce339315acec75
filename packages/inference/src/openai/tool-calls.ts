// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto'

export interface ParsedCall {
  id: string
  name: string
  /** JSON text, as the model wrote it: sent back in a later turn it renders to what the model knows. */
  arguments: string
}

export interface ParsedPiece {
  content: string
  calls: ParsedCall[]
}

const OPEN = '<tool_call>'
const CLOSE = '</tool_call>'

/**
 * Splits generated text into content and Hermes tool calls (`<tool_call>{"name":…,"arguments":…}</tool_call>`) while
 * it comes. Text that is not a well-formed call is content.
 */
export class ToolCallParser {
  #held = ''
  #inside = false
  /** White space before the call: dropped with it, kept when it turns out to be none. */
  #gap = ''
  #calls = 0

  push(text: string): ParsedPiece {
    this.#held += text
    const out: ParsedPiece = { content: '', calls: [] }
    while (this.#inside ? this.#readCall(out) : this.#readContent(out));
    return out
  }

  /** What is left when no more text comes; a call that was not closed counts when it is whole. */
  flush(): ParsedPiece {
    const out: ParsedPiece = { content: '', calls: [] }
    if (this.#inside) this.#take(out, this.#held, '')
    else if (this.#calls === 0 || this.#held.trim() !== '') out.content = this.#held
    this.#held = ''
    this.#inside = false
    return out
  }

  #readContent(out: ParsedPiece): boolean {
    const at = this.#held.indexOf(OPEN)
    if (at >= 0) {
      const before = this.#held.slice(0, at)
      out.content += before.trimEnd()
      this.#gap = before.slice(before.trimEnd().length)
      this.#held = this.#held.slice(at + OPEN.length)
      this.#inside = true
      return true
    }
    // White space and the beginning of a tag may belong to a call that follows.
    const keep = /(\s*)(<[a-z_]*)?$/.exec(this.#held)
    const tail = keep?.[2] && !OPEN.startsWith(keep[2]) ? '' : (keep?.[0] ?? '')
    out.content += this.#held.slice(0, this.#held.length - tail.length)
    this.#held = tail
    return false
  }

  #readCall(out: ParsedPiece): boolean {
    const at = this.#held.indexOf(CLOSE)
    if (at < 0) return false
    this.#take(out, this.#held.slice(0, at), CLOSE)
    this.#held = this.#held.slice(at + CLOSE.length)
    this.#inside = false
    return this.#held !== ''
  }

  #take(out: ParsedPiece, text: string, close: string): void {
    const call = readCall(text)
    if (call) {
      this.#calls++
      out.calls.push(call)
    } else {
      out.content += this.#gap + OPEN + text + close
    }
  }
}

function readCall(text: string): ParsedCall | undefined {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  const { name, arguments: args } = (json ?? {}) as Record<string, unknown>
  if (typeof name !== 'string' || name === '') return undefined
  return {
    id: `call_${randomBytes(12).toString('hex')}`,
    name,
    arguments: typeof args === 'string' ? args : rawArguments(text, args ?? {}),
  }
}

function rawArguments(text: string, args: unknown): string {
  const raw = /"arguments"\s*:\s*(\{[\s\S]*\})\s*\}\s*$/.exec(text)?.[1]
  if (raw !== undefined) {
    try {
      if (JSON.stringify(JSON.parse(raw)) === JSON.stringify(args)) return raw
    } catch {
      // The arguments were not last; they are written anew.
    }
  }
  return JSON.stringify(args)
}
