// SPDX-License-Identifier: Apache-2.0

/** A fault in a Colang file. `reason` is the message without the place; it says what to write instead where there is something. */
export class ColangError extends Error {
  readonly file: string
  readonly line: number
  readonly reason: string

  constructor(file: string, line: number, reason: string) {
    super(`${file}:${line}: ${reason}`)
    this.name = 'ColangError'
    this.file = file
    this.line = line
    this.reason = reason
  }
}

/** A line of code: its number from 1, its indentation in columns, its text without comment and the comments just above. */
export interface Line {
  number: number
  indent: number
  text: string
  comment?: string
}

/** A line with the lines indented below it. */
export interface Block extends Line {
  body: Block[]
}

const TAB = 4
const MAX_LINES = 50_000
const MAX_LINE = 20_000

/** Splits a file into blocks by indentation; empty lines, comments and doc strings are left out. Throws ColangError. */
export function readBlocks(file: string, source: string): Block[] {
  const lines = readLines(file, source)
  const top: Block[] = []
  const open: Block[] = []
  for (const line of lines) {
    const block: Block = { ...line, body: [] }
    while (open.length > 0 && (open.at(-1)?.indent ?? 0) >= line.indent) open.pop()
    const siblings = open.at(-1)?.body ?? top
    const before = siblings[0]
    if (before && before.indent !== line.indent) {
      throw new ColangError(
        file,
        line.number,
        `indented by ${line.indent}, the lines beside it by ${before.indent}`,
      )
    }
    siblings.push(block)
    open.push(block)
  }
  return top
}

function readLines(file: string, source: string): Line[] {
  const raw = source.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/)
  if (raw.length > MAX_LINES) throw new ColangError(file, MAX_LINES, `longer than ${MAX_LINES} lines`)
  const lines: Line[] = []
  let comments: string[] = []
  for (let index = 0; index < raw.length; index++) {
    const whole = raw[index] ?? ''
    if (whole.length > MAX_LINE) throw new ColangError(file, index + 1, `longer than ${MAX_LINE} characters`)
    const text = whole.trim()
    if (text === '') {
      comments = []
    } else if (text.startsWith('#')) {
      comments.push(text.replace(/^#+\s*/, ''))
    } else if (text.startsWith('"""')) {
      index = endOfDocString(file, raw, index)
    } else {
      const code = withoutComment(text)
      lines.push({
        number: index + 1,
        indent: columns(whole),
        text: evenSpaces(code),
        ...(comments.length > 0 && { comment: comments.join('\n') }),
      })
      comments = []
    }
  }
  return lines
}

function endOfDocString(file: string, raw: string[], start: number): number {
  if (/^"""[\s\S]*"""\s*$/.test((raw[start] ?? '').trim()) && (raw[start] ?? '').trim().length >= 6)
    return start
  for (let index = start + 1; index < raw.length; index++) {
    if ((raw[index] ?? '').includes('"""')) return index
  }
  throw new ColangError(file, start + 1, 'this doc string has no closing """')
}

function columns(line: string): number {
  let width = 0
  for (const char of line) {
    if (char === ' ') width += 1
    else if (char === '\t') width += TAB
    else break
  }
  return width
}

function withoutComment(text: string): string {
  const mask = stringMask(text)
  const at = [...text.matchAll(/#/g)].find(({ index }) => mask[index] === 0)?.index
  return at === undefined ? text : text.slice(0, at).trimEnd()
}

/** One space for several, but not in strings. */
function evenSpaces(text: string): string {
  const mask = stringMask(text)
  return text.replace(/\s+/g, (space, at: number) => (mask[at] ? space : ' '))
}

/** For each character whether it lies in a quoted string; the opening quote does not. */
export function stringMask(text: string): Uint8Array {
  const mask = new Uint8Array(text.length)
  let quote = ''
  for (let index = 0; index < text.length; index++) {
    const char = text[index] ?? ''
    if (quote) mask[index] = 1
    if (quote && char === '\\') {
      index += 1
      mask[index] = 1
    } else if (quote) quote = char === quote ? '' : quote
    else if (char === '"' || (char === "'" && !/\w/.test(text[index - 1] ?? ''))) quote = char
  }
  return mask
}
