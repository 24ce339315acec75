// SPDX-License-Identifier: Apache-2.0

/** A pattern as JavaScript takes it. */
export interface Pattern {
  source: string
  flags: string
}

const WORD = '\\p{L}\\p{N}_'
const BOUNDARY = `(?:(?<=[${WORD}])(?![${WORD}])|(?<![${WORD}])(?=[${WORD}]))`
const NO_BOUNDARY = `(?:(?<=[${WORD}])(?=[${WORD}])|(?<![${WORD}])(?![${WORD}]))`
/** Escapes outside and inside a class of characters; what is in neither stands for itself or is refused. */
const OUTSIDE: Record<string, string> = {
  b: BOUNDARY,
  B: NO_BOUNDARY,
  w: `[${WORD}]`,
  W: `[^${WORD}]`,
  d: '\\p{Nd}',
  D: '\\P{Nd}',
  A: '(?<![\\s\\S])',
  Z: '(?![\\s\\S])',
  a: '\\x07',
}
const INSIDE: Record<string, string> = { b: '\\x08', w: WORD, d: '\\p{Nd}', D: '\\P{Nd}', a: '\\x07' }
const KEPT = /^[sSnrtfv\\^$.*+?()[\]{}|/]$/
const QUANTIFIER = /^\{(\d*)(,?)(\d*)\}/

/**
 * Translates a pattern of Python's `re`, which configurations are written in: its anchors, its words and digits of
 * all scripts, its named groups and inline flags. Throws with the reason when JavaScript cannot have it.
 */
export function fromPython(pattern: string, caseInsensitive = false): Pattern {
  const { rest, flags } = inlineFlags(pattern, caseInsensitive ? 'i' : '')
  const source = new Translator(rest, flags).run()
  new RegExp(source, `${flags}u`)
  return { source, flags: `${flags}u` }
}

function inlineFlags(pattern: string, given: string): { rest: string; flags: string } {
  const inline = /^\(\?([aiLmsux]+)\)/.exec(pattern)
  if (!inline) return { rest: pattern, flags: given }
  let flags = given
  for (const flag of inline[1] ?? '') {
    if (flag === 'x') throw new Error('verbose patterns, (?x), are not supported')
    if ('ims'.includes(flag) && !flags.includes(flag)) flags += flag
  }
  return { rest: pattern.slice(inline[0].length), flags }
}

class Translator {
  private at = 0
  private out = ''
  private readonly pattern: string
  private readonly flags: string

  constructor(pattern: string, flags: string) {
    this.pattern = pattern
    this.flags = flags
  }

  run(): string {
    while (this.at < this.pattern.length) this.step()
    return this.out
  }

  private step(): void {
    const c = this.pattern[this.at] ?? ''
    const rest = this.pattern.slice(this.at, this.at + 64)
    if (c === '\\') this.escape(OUTSIDE)
    else if (c === '[') this.charClass()
    else if (c === '(') this.group(rest)
    else if (c === '{') this.brace(rest)
    else {
      this.at++
      this.out += this.plain(c)
    }
  }

  /** Python's end is also before a last line break, and its dot is anything but one. */
  private plain(c: string): string {
    if (c === '$' && !this.flags.includes('m')) return '(?=\\n?(?![\\s\\S]))'
    if (c === '.' && !this.flags.includes('s')) return '[^\\n]'
    return c === '}' || c === ']' ? `\\${c}` : c
  }

  private group(rest: string): void {
    const named = /^\(\?P<(\w+)>/.exec(rest)
    const same = /^\(\?P=(\w+)\)/.exec(rest)
    if (/^\(\?\(/.test(rest)) throw new Error('conditional groups are not supported')
    if (/^\(\?>/.test(rest)) throw new Error('atomic groups are not supported')
    if (named) this.out += `(?<${named[1]}>`
    else if (same) this.out += `\\k<${same[1]}>`
    else this.out += '('
    this.at += (named ?? same)?.[0].length ?? 1
  }

  /** A brace that is no quantifier is a brace. */
  private brace(rest: string): void {
    const found = QUANTIFIER.exec(rest)
    if (!found || (found[1] === '' && found[3] === '')) {
      this.out += '\\{'
      this.at++
      return
    }
    this.out += `{${found[1] || '0'}${found[2]}${found[3]}}`
    this.at += found[0].length
  }

  private escape(table: Record<string, string>): void {
    const c = this.pattern[this.at + 1]
    if (c === undefined) throw new Error('it ends in a backslash')
    const rest = this.pattern.slice(this.at + 1, this.at + 11)
    const code = /^(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\d{1,2})/.exec(rest)?.[0]
    const known = Object.hasOwn(table, c) ? table[c] : undefined
    this.at += 1 + (code && known === undefined ? code.length : 1)
    if (known !== undefined) this.out += known
    else if (code) this.out += code[0] === 'U' ? `\\u{${code.slice(1)}}` : `\\${code === '0' ? 'x00' : code}`
    else if (KEPT.test(c) || (c === '-' && table === INSIDE)) this.out += `\\${c}`
    else if (/[A-Za-z]/.test(c)) throw new Error(`the escape \\${c} is not known`)
    else this.out += c
  }

  private charClass(): void {
    const start = this.pattern[this.at + 1] === '^' ? '[^' : '['
    this.out += start
    this.at += start.length
    // A bracket in the first place is a member.
    if (this.pattern[this.at] === ']') {
      this.out += '\\]'
      this.at++
    }
    while (this.at < this.pattern.length) {
      const c = this.pattern[this.at] ?? ''
      if (c === '\\') {
        this.escape(INSIDE)
        continue
      }
      this.at++
      this.out += c
      if (c === ']') return
    }
    throw new Error('a class of characters, [, has no end')
  }
}
