// SPDX-License-Identifier: Apache-2.0
import { type Expression, ExpressionError, type Value, type Variables } from './expression.ts'

const MAX_TEXT = 1_000_000
const MAX_POWER = 100

/** Evaluates an expression; an unknown variable is None. Throws ExpressionError, as for a wrong type. */
export function evaluate(expression: Expression, variables: Variables): Value {
  const value = (part: Expression) => evaluate(part, variables)
  switch (expression.kind) {
    case 'literal':
      return expression.value
    case 'variable':
      return own(variables, expression.name)
    case 'list':
      return expression.items.map(value)
    case 'dict':
      return Object.fromEntries(expression.entries.map(([key, item]) => [text(value(key)), value(item)]))
    case 'unary':
      return unary(expression.operator, value(expression.operand))
    case 'choice':
      return value(truthy(value(expression.test)) ? expression.then : expression.otherwise)
    case 'member':
      return member(value(expression.object), expression.name)
    case 'index':
      return index(value(expression.object), value(expression.index))
    case 'call':
      return call(expression.name, expression.args.map(value))
    case 'method':
      return method(value(expression.object), expression.name, expression.args.map(value))
    case 'binary': {
      const left = value(expression.left)
      // The second operand may only make sense when the first allows it: `$x and $x.y > 1`.
      if (expression.operator === 'and') return truthy(left) ? value(expression.right) : left
      if (expression.operator === 'or') return truthy(left) ? left : value(expression.right)
      return binary(expression.operator, left, value(expression.right))
    }
  }
}

/** What counts as true, as in Python: not None, False, 0, and nothing empty. */
export function truthy(value: Value): boolean {
  if (value === null) return false
  if (Array.isArray(value)) return value.length > 0
  if (typeof value === 'object') return Object.keys(value).length > 0
  return Boolean(value)
}

/** A value as Python's str() would write the simple ones. */
export function text(value: Value): string {
  if (value === null) return 'None'
  if (value === true) return 'True'
  if (value === false) return 'False'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

function own(object: Record<string, Value>, key: string): Value {
  return Object.hasOwn(object, key) ? (object[key] ?? null) : null
}

function unary(operator: 'not' | '-' | '+', operand: Value): Value {
  if (operator === 'not') return !truthy(operand)
  return operator === '-' ? -number(operand) : number(operand)
}

function member(object: Value, name: string): Value {
  if (object !== null && typeof object === 'object' && !Array.isArray(object)) return own(object, name)
  throw new ExpressionError(`${describe(object)} has no ${name}`)
}

function index(object: Value, key: Value): Value {
  if (Array.isArray(object) || typeof object === 'string') {
    const at = number(key)
    const found = object.at(at)
    if (found === undefined) throw new ExpressionError(`index ${at} is out of range`)
    return found
  }
  if (object !== null && typeof object === 'object') return own(object, text(key))
  throw new ExpressionError(`${describe(object)} cannot be indexed`)
}

function call(name: string, args: Value[]): Value {
  const [first = null] = args
  switch (name) {
    case 'len':
      if (typeof first === 'string' || Array.isArray(first)) return first.length
      if (first !== null && typeof first === 'object') return Object.keys(first).length
      throw new ExpressionError(`${describe(first)} has no length`)
    case 'str':
      return text(first)
    case 'int':
      return Math.trunc(toNumber(first))
    case 'float':
      return toNumber(first)
    case 'bool':
      return truthy(first)
    case 'abs':
      return Math.abs(number(first))
    default: {
      const numbers = (Array.isArray(first) ? first : args).map(number)
      if (numbers.length === 0) throw new ExpressionError(`${name}() of nothing`)
      return name === 'min' ? Math.min(...numbers) : Math.max(...numbers)
    }
  }
}

function method(object: Value, name: string, args: Value[]): Value {
  const [first = null, second = null] = args
  if (name === 'get') {
    if (object === null || typeof object !== 'object' || Array.isArray(object))
      throw new ExpressionError(`${describe(object)} has no get()`)
    return Object.hasOwn(object, text(first)) ? own(object, text(first)) : second
  }
  if (typeof object !== 'string') throw new ExpressionError(`${describe(object)} has no ${name}()`)
  switch (name) {
    case 'lower':
      return object.toLowerCase()
    case 'upper':
      return object.toUpperCase()
    case 'strip':
      return object.trim()
    case 'startswith':
      return object.startsWith(string(first))
    case 'endswith':
      return object.endsWith(string(first))
    case 'replace':
      return bounded(object.replaceAll(string(first), () => string(second)))
    case 'count':
      return string(first) === '' ? object.length + 1 : object.split(string(first)).length - 1
    default:
      return first === null ? object.split(/\s+/).filter(Boolean) : object.split(string(first))
  }
}

function binary(operator: string, left: Value, right: Value): Value {
  switch (operator) {
    case '==':
    case 'is':
      return same(left, right)
    case '!=':
    case 'is not':
      return !same(left, right)
    case 'in':
      return contains(right, left)
    case 'not in':
      return !contains(right, left)
    case '+':
      if (typeof left === 'string' && typeof right === 'string') return bounded(left + right)
      if (Array.isArray(left) && Array.isArray(right)) return [...left, ...right]
      return number(left) + number(right)
    case '<':
    case '<=':
    case '>':
    case '>=':
      return compare(operator, left, right)
    default:
      return arithmetic(operator, number(left), number(right))
  }
}

function compare(operator: string, left: Value, right: Value): boolean {
  const order =
    typeof left === 'string' && typeof right === 'string'
      ? Number(left > right) - Number(left < right)
      : number(left) - number(right)
  if (operator === '<') return order < 0
  if (operator === '<=') return order <= 0
  return operator === '>' ? order > 0 : order >= 0
}

function arithmetic(operator: string, left: number, right: number): number {
  switch (operator) {
    case '-':
      return left - right
    case '*':
      return left * right
    case '**':
      if (Math.abs(right) > MAX_POWER) throw new ExpressionError(`a power above ${MAX_POWER}`)
      return left ** right
    default:
      if (right === 0) throw new ExpressionError('division by zero')
      if (operator === '/') return left / right
      // As in Python, the rest has the sign of the divisor.
      return operator === '//' ? Math.floor(left / right) : left - right * Math.floor(left / right)
  }
}

function same(left: Value, right: Value): boolean {
  if (left === right) return true
  if (left === null || right === null || typeof left !== 'object' || typeof right !== 'object') {
    // True == 1 holds in Python too.
    const [a, b] = [
      typeof left === 'boolean' ? Number(left) : left,
      typeof right === 'boolean' ? Number(right) : right,
    ]
    return a === b
  }
  return JSON.stringify(left) === JSON.stringify(right)
}

function contains(container: Value, item: Value): boolean {
  if (typeof container === 'string') return container.includes(string(item))
  if (Array.isArray(container)) return container.some((one) => same(one, item))
  if (container !== null && typeof container === 'object') return Object.hasOwn(container, text(item))
  throw new ExpressionError(`${describe(container)} contains nothing`)
}

function bounded(value: string): string {
  if (value.length > MAX_TEXT) throw new ExpressionError(`a text of more than ${MAX_TEXT} characters`)
  return value
}

function number(value: Value): number {
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return Number(value)
  throw new ExpressionError(`${describe(value)} is no number`)
}

function toNumber(value: Value): number {
  const parsed = typeof value === 'string' && value.trim() !== '' ? Number(value) : number(value)
  if (Number.isNaN(parsed)) throw new ExpressionError(`${describe(value)} is no number`)
  return parsed
}

function string(value: Value): string {
  if (typeof value === 'string') return value
  throw new ExpressionError(`${describe(value)} is no text`)
}

const describe = (value: Value) => (value === null ? 'None' : JSON.stringify(value).slice(0, 60))
