// SPDX-License-Identifier: Apache-2.0

const STRING_OPERATORS: Record<string, (a: string, b: string) => boolean> = {
  equals: (a, b) => a === b,
  '==': (a, b) => a === b,
  '=': (a, b) => a === b,
  'not equals': (a, b) => a !== b,
  '!=': (a, b) => a !== b,
  '<>': (a, b) => a !== b,
  contains: (a, b) => a.includes(b),
  'not contains': (a, b) => !a.includes(b),
  startswith: (a, b) => a.startsWith(b),
  endswith: (a, b) => a.endsWith(b),
}

const NUMBER_OPERATORS: Record<string, (a: number, b: number) => boolean> = {
  equals: (a, b) => a === b,
  '==': (a, b) => a === b,
  '=': (a, b) => a === b,
  'not equals': (a, b) => a !== b,
  '!=': (a, b) => a !== b,
  '<>': (a, b) => a !== b,
  '>=': (a, b) => a >= b,
  gte: (a, b) => a >= b,
  '>': (a, b) => a > b,
  gt: (a, b) => a > b,
  '<=': (a, b) => a <= b,
  lte: (a, b) => a <= b,
  '<': (a, b) => a < b,
  lt: (a, b) => a < b,
}

/** A check as configured: templates for both sides, and what to compare with; `epsilon` for an absolute difference. */
export interface Check {
  left: string
  right: string
  compare: (left: string, right: string, epsilon: string | undefined) => number | null
  epsilon: string | undefined
}

/** Reads `["{{a}}", "equals", "{{b}}"]`; text says what is wrong with it otherwise. */
export function parseStringCheck(check: unknown): Check | string {
  const parts = texts(check)
  if (parts?.length !== 3) return 'check must be ["<text>", "<operator>", "<text>"]'
  const [left = '', name = '', right = ''] = parts
  const key = name.trim().toLowerCase()
  const operator = Object.hasOwn(STRING_OPERATORS, key) ? STRING_OPERATORS[key] : undefined
  if (!operator) return `the operator "${name}" is not one of ${Object.keys(STRING_OPERATORS).join(', ')}`
  return { left, right, epsilon: undefined, compare: (a, b) => (operator(a, b) ? 1 : 0) }
}

/** Reads `["{{a}}", ">=", "{{b}}"]` or `["absolute difference", "{{a}}", "{{b}}", "epsilon", 0.1]`. */
export function parseNumberCheck(check: unknown): Check | string {
  const parts = texts(check)
  if (parts?.[0]?.trim().toLowerCase() === 'absolute difference') {
    const [, left = '', right = '', word, epsilon] = parts
    if (parts.length !== 5 || word?.trim().toLowerCase() !== 'epsilon') {
      return 'check must be ["absolute difference", "<number>", "<number>", "epsilon", <number>]'
    }
    return { left, right, epsilon, compare: isWithin }
  }
  if (parts?.length !== 3) return 'check must be ["<number>", "<operator>", "<number>"]'
  const [left = '', name = '', right = ''] = parts
  const key = name.trim().toLowerCase()
  const operator = Object.hasOwn(NUMBER_OPERATORS, key) ? NUMBER_OPERATORS[key] : undefined
  if (!operator) return `the operator "${name}" is not one of ${Object.keys(NUMBER_OPERATORS).join(', ')}`
  const compare = (a: string, b: string) => {
    const [x, y] = [lastNumber(a), lastNumber(b)]
    if (x === null || y === null) return null
    return operator(x, y) ? 1 : 0
  }
  return { left, right, epsilon: undefined, compare }
}

function isWithin(a: string, b: string, epsilon: string | undefined): number | null {
  const [x, y, e] = [lastNumber(a), lastNumber(b), lastNumber(epsilon ?? '')]
  if (x === null || y === null || e === null) return null
  return Math.abs(x - y) <= e ? 1 : 0
}

/** The last number in a text, or null when there is none. */
export function lastNumber(text: string): number | null {
  const found = text.match(/[+-]?[.\d]*\d+/g)?.at(-1)
  const value = found === undefined ? Number.NaN : Number(found)
  return Number.isNaN(value) ? null : value
}

function texts(check: unknown): string[] | undefined {
  if (!Array.isArray(check)) return undefined
  return check.map((part) => (typeof part === 'string' ? part : String(part)))
}
