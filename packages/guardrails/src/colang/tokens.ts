// SPDX-License-Identifier: Apache-2.0
import { ExpressionError } from './expression.ts'

/** A part of an expression; the text of a string is its content, that of a variable its name without `$`. */
export interface Token {
  kind: 'number' | 'string' | 'variable' | 'word' | 'sign'
  text: string
}

const PARTS =
  /\s*(?:(?<number>\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)|\$(?<variable>[A-Za-z_]\w*)|(?<word>[A-Za-z_]\w*)|(?<sign>\*\*|\/\/|==|!=|<=|>=|[-+*/%<>()[\]{}.,:]))/y
const ESCAPES: Record<string, string> = { n: '\n', t: '\t', r: '\r', '0': '\0' }
const MAX_LENGTH = 10_000

/** Splits an expression into tokens. Throws ExpressionError at a character that fits nowhere. */
export function tokenize(text: string): Token[] {
  if (text.length > MAX_LENGTH) throw new ExpressionError(`longer than ${MAX_LENGTH} characters`)
  const tokens: Token[] = []
  let at = 0
  while (text.slice(at).trim() !== '') {
    const start = at + (text.slice(at).length - text.slice(at).trimStart().length)
    const quote = text[start]
    if (quote === '"' || quote === "'") {
      const { content, end } = readString(text, start)
      tokens.push({ kind: 'string', text: content })
      at = end
      continue
    }
    PARTS.lastIndex = at
    const found = PARTS.exec(text)
    if (!found?.groups) throw new ExpressionError(`unexpected ${JSON.stringify(text[start] ?? '')}`)
    const [kind, part] = Object.entries(found.groups).find(([, value]) => value !== undefined) ?? ['sign', '']
    tokens.push({ kind: kind as Token['kind'], text: part ?? '' })
    at = PARTS.lastIndex
  }
  return tokens
}

/** Reads the quoted string that begins at `start`: what it means, and the position after it. */
export function readString(text: string, start: number): { content: string; end: number } {
  const quote = text[start] ?? ''
  let content = ''
  for (let at = start + 1; at < text.length; at++) {
    const char = text[at] ?? ''
    if (char === quote) return { content, end: at + 1 }
    if (char === '\\') {
      at += 1
      const escaped = text[at] ?? ''
      content += ESCAPES[escaped] ?? escaped
    } else content += char
  }
  throw new ExpressionError(
    `the string at ${JSON.stringify(text.slice(start, start + 20))} has no closing ${quote}`,
  )
}
