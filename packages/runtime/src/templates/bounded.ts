// SPDX-License-Identifier: Apache-2.0
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja'

/** A template that wants more than it may have; its text comes from users. */
export class TemplateLimitError extends Error {
  override name = 'TemplateLimitError'
}

export type Program = ReturnType<typeof parse>

/** Evaluations of one rendering, about a second. A chat of a thousand messages takes some tens of thousands. */
const MAX_STEPS = 1_000_000
/** For steps that take long each, such as searches in large texts. */
const MAX_MS = 2000
const STEPS_BETWEEN_LOOKS = 16
/** Characters of any text, and entries of any list, on the way. */
const MAX_TEXT = 8_000_000
const MAX_LIST = 200_000
const MAX_TEMPLATE = 1_000_000

/** Parses a Jinja template. Throws when it is none. */
export function parseTemplate(source: string): Program {
  if (source.length > MAX_TEMPLATE)
    throw new TemplateLimitError(`it is longer than ${MAX_TEMPLATE} characters`)
  try {
    return parse(tokenize(source))
  } catch (err) {
    // Brackets in brackets in brackets end the parser's stack, not the process.
    if (err instanceof RangeError) throw new TemplateLimitError('it is nested too deeply')
    throw err
  }
}

/**
 * Renders a template within bounds of time and memory, so that loops in loops cannot stop the process that serves
 * everyone else. `values` are plain JSON values and functions. Throws TemplateLimitError, and what the template raises.
 */
export function renderTemplate(program: Program, values: Record<string, unknown>): string {
  const env = new Environment()
  for (const [name, value] of Object.entries({ ...GLOBALS, ...values })) env.set(name, value)
  try {
    return String(new BoundedInterpreter(env).run(program).value)
  } catch (err) {
    if (err instanceof RangeError) throw new TemplateLimitError(`it needs too much: ${err.message}`)
    throw err
  }
}

interface RuntimeValue {
  value: unknown
}

/** The package's types name their files without endings, which Node's resolution does not find. */
const BaseInterpreter = Interpreter as new (
  env: unknown,
) => {
  run(program: Program): RuntimeValue
  evaluate(statement: unknown, environment: unknown): RuntimeValue
}

class BoundedInterpreter extends BaseInterpreter {
  #steps = 0
  readonly #begun = performance.now()

  override evaluate(statement: unknown, environment: unknown): RuntimeValue {
    if (++this.#steps > MAX_STEPS)
      throw new TemplateLimitError(`it takes more than ${MAX_STEPS} steps: loop less`)
    if (this.#steps % STEPS_BETWEEN_LOOKS === 0 && performance.now() - this.#begun > MAX_MS)
      throw new TemplateLimitError(`it takes longer than ${MAX_MS / 1000} s`)
    const result = super.evaluate(statement, environment)
    const { value } = result
    if (typeof value === 'string' && value.length > MAX_TEXT)
      throw new TemplateLimitError(`it makes a text of more than ${MAX_TEXT} characters`)
    if (Array.isArray(value) && value.length > MAX_LIST)
      throw new TemplateLimitError(`it makes a list of more than ${MAX_LIST} entries`)
    return result
  }
}

/** What Jinja and the chat templates of models expect to be there. */
const GLOBALS: Record<string, unknown> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range,
  strftime_now,
  raise_exception: (message: unknown) => {
    throw new Error(String(message))
  },
}

function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second]
  const size = Math.ceil((stop - start) / step)
  if (step === 0) throw new Error('range() step must not be zero')
  if (size > MAX_LIST) throw new TemplateLimitError(`range() gives more than ${MAX_LIST} numbers`)
  return Array.from({ length: Math.max(0, size || 0) }, (_, i) => start + i * step)
}

const MONTHS = 'January February March April May June July August September October November December'.split(
  ' ',
)

function strftime_now(format: string): string {
  const now = new Date()
  const two = (n: number) => String(n).padStart(2, '0')
  const month = MONTHS[now.getMonth()] ?? ''
  const parts: Record<string, string> = {
    '%Y': String(now.getFullYear()),
    '%m': two(now.getMonth() + 1),
    '%d': two(now.getDate()),
    '%b': month.slice(0, 3),
    '%B': month,
    '%H': two(now.getHours()),
    '%M': two(now.getMinutes()),
    '%S': two(now.getSeconds()),
    '%%': '%',
  }
  return String(format).replace(/%[YmdbBHMS%]/g, (token) => parts[token] ?? token)
}
