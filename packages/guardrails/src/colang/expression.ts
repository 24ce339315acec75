// SPDX-License-Identifier: Apache-2.0
import { type Token, tokenize } from './tokens.ts'

/** Values of variables; what JSON can hold. */
export type Value = null | boolean | number | string | Value[] | { [key: string]: Value }
export type Variables = Record<string, Value>

export class ExpressionError extends Error {
  override name = 'ExpressionError'
}

/** An expression as Colang borrows them from Python: literals, $variables, operators, len(), and methods of strings. */
export type Expression =
  | { kind: 'literal'; value: Value }
  | { kind: 'variable'; name: string }
  | { kind: 'list'; items: Expression[] }
  | { kind: 'dict'; entries: [Expression, Expression][] }
  | { kind: 'unary'; operator: 'not' | '-' | '+'; operand: Expression }
  | { kind: 'binary'; operator: string; left: Expression; right: Expression }
  | { kind: 'choice'; test: Expression; then: Expression; otherwise: Expression }
  | { kind: 'member'; object: Expression; name: string }
  | { kind: 'index'; object: Expression; index: Expression }
  | { kind: 'call'; name: string; args: Expression[] }
  | { kind: 'method'; object: Expression; name: string; args: Expression[] }

const BINDING: Record<string, number> = {
  or: 1,
  and: 2,
  in: 4,
  'not in': 4,
  is: 4,
  'is not': 4,
  '==': 4,
  '!=': 4,
  '<': 4,
  '<=': 4,
  '>': 4,
  '>=': 4,
  '+': 5,
  '-': 5,
  '*': 6,
  '/': 6,
  '//': 6,
  '%': 6,
  '**': 8,
}
const NOT = 3
const COMPARISON = 4
const SIGN = 7
const FUNCTIONS = new Set(['len', 'str', 'int', 'float', 'bool', 'min', 'max', 'abs'])
const METHODS = new Set([
  'lower',
  'upper',
  'strip',
  'startswith',
  'endswith',
  'replace',
  'split',
  'get',
  'count',
])
const MAX_DEPTH = 60

/** Parses an expression. Throws ExpressionError saying what is wrong. */
export function parseExpression(text: string): Expression {
  const parser = new Parser(tokenize(text))
  const expression = parser.expression()
  parser.end()
  return expression
}

class Parser {
  readonly tokens: Token[]
  private at = 0
  private depth = 0

  constructor(tokens: Token[]) {
    this.tokens = tokens
  }

  end(): void {
    const left = this.tokens[this.at]
    if (left) throw new ExpressionError(`unexpected ${JSON.stringify(left.text)}`)
  }

  expression(): Expression {
    if (++this.depth > MAX_DEPTH) throw new ExpressionError('nested too deeply')
    const then = this.binary(0)
    if (this.take('if')) {
      const test = this.binary(0)
      this.expect('else')
      const otherwise = this.expression()
      this.depth -= 1
      return { kind: 'choice', test, then, otherwise }
    }
    this.depth -= 1
    return then
  }

  private binary(least: number): Expression {
    let left = this.unary()
    let compared: Expression | undefined
    for (;;) {
      const operator = this.operator()
      const binding = BINDING[operator.text] ?? 0
      if (binding === 0 || binding <= least) return left
      this.at += operator.length
      // ** binds to the right, the others to the left.
      const right = this.binary(operator.text === '**' ? binding - 1 : binding)
      const chained = binding === COMPARISON ? compared : undefined
      const next: Expression = { kind: 'binary', operator: operator.text, left: chained ?? left, right }
      // a < b < c means a < b and b < c.
      left = chained ? { kind: 'binary', operator: 'and', left, right: next } : next
      compared = binding === COMPARISON ? right : undefined
    }
  }

  private operator(): { text: string; length: number } {
    const [one, two] = [this.tokens[this.at], this.tokens[this.at + 1]]
    if (one?.kind === 'word' && one.text === 'not' && two?.text === 'in') return { text: 'not in', length: 2 }
    if (one?.kind === 'word' && one.text === 'is' && two?.text === 'not') return { text: 'is not', length: 2 }
    return { text: one && one.kind !== 'string' ? one.text : '', length: 1 }
  }

  private unary(): Expression {
    if (this.take('not')) return { kind: 'unary', operator: 'not', operand: this.binary(NOT) }
    for (const operator of ['-', '+'] as const) {
      if (this.take(operator)) return { kind: 'unary', operator, operand: this.binary(SIGN) }
    }
    return this.postfix(this.primary())
  }

  private postfix(start: Expression): Expression {
    let object = start
    for (;;) {
      if (this.take('.')) {
        const name = this.next('a name after "."')
        if (name.kind !== 'word') throw new ExpressionError(`${JSON.stringify(name.text)} is no name`)
        if (this.take('(')) {
          if (!METHODS.has(name.text))
            throw new ExpressionError(`no method ${name.text}(); there are ${[...METHODS].join(', ')}`)
          object = { kind: 'method', object, name: name.text, args: this.list(')') }
        } else object = { kind: 'member', object, name: name.text }
      } else if (this.take('[')) {
        const index = this.expression()
        this.expect(']')
        object = { kind: 'index', object, index }
      } else return object
    }
  }

  private primary(): Expression {
    const token = this.next('a value')
    switch (token.kind) {
      case 'number':
        return { kind: 'literal', value: Number(token.text.replaceAll('_', '')) }
      case 'string':
        return { kind: 'literal', value: token.text }
      case 'variable':
        return { kind: 'variable', name: token.text }
      case 'word':
        return this.word(token.text)
      case 'sign':
        return this.bracket(token.text)
    }
  }

  private word(text: string): Expression {
    if (text === 'True' || text === 'true') return { kind: 'literal', value: true }
    if (text === 'False' || text === 'false') return { kind: 'literal', value: false }
    if (text === 'None' || text === 'null') return { kind: 'literal', value: null }
    if (this.take('(')) {
      if (!FUNCTIONS.has(text))
        throw new ExpressionError(`no function ${text}(); there are ${[...FUNCTIONS].join(', ')}`)
      return { kind: 'call', name: text, args: this.list(')') }
    }
    throw new ExpressionError(`${text} is neither a value nor a $variable`)
  }

  private bracket(text: string): Expression {
    if (text === '[') return { kind: 'list', items: this.list(']') }
    if (text === '{') {
      const entries: [Expression, Expression][] = []
      while (!this.take('}')) {
        const key = this.expression()
        this.expect(':')
        entries.push([key, this.expression()])
        if (!this.take(',')) {
          this.expect('}')
          break
        }
      }
      return { kind: 'dict', entries }
    }
    if (text === '(') {
      const items = this.list(')')
      const [only] = items
      return items.length === 1 && only && this.tokens[this.at - 2]?.text !== ','
        ? only
        : { kind: 'list', items }
    }
    throw new ExpressionError(`unexpected ${JSON.stringify(text)}`)
  }

  private list(close: string): Expression[] {
    const items: Expression[] = []
    while (!this.take(close)) {
      items.push(this.expression())
      if (!this.take(',')) {
        this.expect(close)
        break
      }
    }
    return items
  }

  private take(text: string): boolean {
    const token = this.tokens[this.at]
    if (!token || token.text !== text || token.kind === 'string' || token.kind === 'variable') return false
    this.at += 1
    return true
  }

  private expect(text: string): void {
    if (!this.take(text)) throw new ExpressionError(`expected ${JSON.stringify(text)} ${this.where()}`)
  }

  private next(what: string): Token {
    const token = this.tokens[this.at]
    if (!token) throw new ExpressionError(`expected ${what} ${this.where()}`)
    this.at += 1
    return token
  }

  private where(): string {
    const token = this.tokens[this.at]
    return token ? `before ${JSON.stringify(token.text)}` : 'at the end'
  }
}
