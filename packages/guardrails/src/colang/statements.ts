// SPDX-License-Identifier: Apache-2.0
import { type Expression, parseExpression } from './expression.ts'
import type { Awaited, Statement } from './program.ts'
import { type Block, ColangError, stringMask } from './source.ts'
import { readString } from './tokens.ts'

type Reader = (file: string, block: Block, rest: string) => Statement

/** Parses the statements of a flow. Throws ColangError naming the line. */
export function parseStatements(file: string, blocks: Block[]): Statement[] {
  const statements: Statement[] = []
  for (const block of blocks) {
    const branch = /^(?:else if|elif|else when|else|or)\b/.exec(block.text)?.[0]
    if (branch) addBranch(file, block, branch, statements.at(-1))
    else statements.push(parseStatement(file, block))
  }
  return statements
}

function parseStatement(file: string, block: Block): Statement {
  const assigned = /^(?:set )?\$(?<variable>[A-Za-z_]\w*) ?=(?!=) ?(?<value>.*)$/.exec(block.text)
  if (assigned?.groups)
    return assignment(file, block, assigned.groups.variable ?? '', assigned.groups.value ?? '')
  const [, word = '', rest = ''] = /^(\S+?):?(?: (.*))?$/.exec(block.text) ?? []
  const read = Object.hasOwn(READERS, word) ? READERS[word] : undefined
  if (!read) throw new ColangError(file, block.number, unknownStatement(word))
  const statement = read(file, block, rest)
  const nests = ['if', 'while', 'when'].includes(word) || (word === 'bot' && block.body.length === 1)
  if (!nests && block.body[0])
    throw new ColangError(file, block.body[0].number, `nothing can be nested below ${JSON.stringify(word)}`)
  return statement
}

function unknownStatement(word: string): string {
  if (['any', 'infer', 'expect', 'check', 'run', 'parallel'].includes(word))
    return `"${word}" is not supported`
  if (['await', 'activate', 'match', 'send', 'start'].includes(word))
    return `"${word}" is Colang 2.x: set colang_version: "2.x" in config.yml`
  return `unknown statement ${JSON.stringify(word)}; a flow has user, bot, execute, do, if, while, when, $x = …, stop`
}

const READERS: Record<string, Reader> = {
  user: (file, block, rest) => ({ kind: 'user', intent: intent(file, block, rest), line: block.number }),
  bot,
  execute: (file, block, rest) => ({ kind: 'action', ...invocation(file, block, rest), line: block.number }),
  event: (file, block, rest) => awaitedEvent(file, block, rest),
  create: (file, block, rest) => {
    const { name, parameters } = invocation(file, block, rest.replace(/^event /, ''))
    return { kind: 'create', name, fields: parameters, line: block.number }
  },
  do: (file, block, rest) => {
    const [, flow = '', args] = /^(.+?)(?: ?\((.*)\))?$/.exec(rest) ?? []
    if (flow === '') throw new ColangError(file, block.number, 'name the flow to do')
    return { kind: 'do', flow, parameters: parameters(file, block, args ?? ''), line: block.number }
  },
  if: (file, block, rest) => ({
    kind: 'if',
    cases: [{ test: expression(file, block, rest), body: inner(file, block) }],
    otherwise: [],
    line: block.number,
  }),
  while: (file, block, rest) => ({
    kind: 'while',
    test: expression(file, block, rest),
    body: inner(file, block),
    line: block.number,
  }),
  when: (file, block, rest) => ({
    kind: 'when',
    cases: [{ on: awaited(file, block, rest), body: inner(file, block) }],
    line: block.number,
  }),
  goto: (file, block, rest) => ({ kind: 'goto', label: intent(file, block, rest), line: block.number }),
  label: (file, block, rest) => ({ kind: 'label', label: intent(file, block, rest), line: block.number }),
  checkpoint: (file, block, rest) => ({
    kind: 'label',
    label: intent(file, block, rest),
    line: block.number,
  }),
  break: (_, block) => ({ kind: 'break', line: block.number }),
  continue: (_, block) => ({ kind: 'continue', line: block.number }),
  pass: (_, block) => ({ kind: 'pass', line: block.number }),
  stop: (_, block) => ({ kind: 'stop', line: block.number }),
  abort: (_, block) => ({ kind: 'stop', line: block.number }),
  return: (_, block) => ({ kind: 'return', line: block.number }),
  done: (_, block) => ({ kind: 'return', line: block.number }),
}

function addBranch(file: string, block: Block, word: string, before: Statement | undefined): void {
  const rest = block.text.slice(word.length).replace(/:$/, '').trim()
  if (word === 'else when') {
    if (before?.kind !== 'when')
      throw new ColangError(file, block.number, '"else when" without a "when" before it')
    before.cases.push({ on: awaited(file, block, rest), body: inner(file, block) })
    return
  }
  if (word === 'or')
    throw new ColangError(file, block.number, '"or" is not supported: use when … else when …')
  if (word === 'else' && before?.kind === 'when')
    throw new ColangError(file, block.number, 'a "when" has no "else": use else when user ...')
  if (before?.kind !== 'if' || before.otherwise.length > 0)
    throw new ColangError(file, block.number, `"${word}" without an "if" before it`)
  if (word === 'else') before.otherwise = inner(file, block)
  else before.cases.push({ test: expression(file, block, rest), body: inner(file, block) })
}

function inner(file: string, block: Block): Statement[] {
  const body = parseStatements(file, block.body)
  if (body.length === 0)
    throw new ColangError(file, block.number, 'nothing is indented below this line; write pass')
  return body
}

function bot(file: string, block: Block, rest: string): Statement {
  const comment = block.comment === undefined ? {} : { instructions: block.comment }
  const at = rest.indexOf('"')
  const below = block.body[0]
  if (at === -1 && below) {
    return {
      kind: 'bot',
      intent: intent(file, block, rest),
      text: wholeString(file, below, below.text),
      line: block.number,
    }
  }
  if (at === -1) return { kind: 'bot', intent: intent(file, block, rest), ...comment, line: block.number }
  const text = wholeString(file, block, rest.slice(at))
  // A text without a name is said as it is.
  return { kind: 'bot', intent: rest.slice(0, at).trim() || text, text, line: block.number }
}

function wholeString(file: string, block: Block, quoted: string): string {
  return guarded(file, block, () => {
    const { content, end } = readString(quoted, 0)
    if (quoted[0] !== '"' || quoted.slice(end).trim() !== '')
      throw new Error('expected one text in double quotes')
    return content
  })
}

function assignment(file: string, block: Block, variable: string, value: string): Statement {
  const line = block.number
  if (value === '...' || value === '…') {
    return {
      kind: 'generate',
      variable,
      ...(block.comment !== undefined && { instructions: block.comment }),
      line,
    }
  }
  const run = /^(?:await )?execute (.+)$/.exec(value)
  if (run) return { kind: 'action', ...invocation(file, block, run[1] ?? ''), result: variable, line }
  const called = /^do (.+)$/.exec(value)
  if (called) throw new ColangError(file, line, 'a subflow returns no value: let it set a $variable')
  return { kind: 'set', variable, value: expression(file, block, value), line }
}

function awaited(file: string, block: Block, rest: string): Awaited {
  const text = rest.replace(/:$/, '')
  if (text.startsWith('user '))
    return { kind: 'user', intent: intent(file, block, text.slice(5)), line: block.number }
  if (text.startsWith('event ')) return awaitedEvent(file, block, text.slice(6))
  throw new ColangError(file, block.number, 'a "when" waits for "user …" or "event …"')
}

function awaitedEvent(file: string, block: Block, rest: string): Extract<Awaited, { kind: 'event' }> {
  const { name, parameters } = invocation(file, block, rest)
  const fields = Object.entries(parameters).map(
    ([key, value]) => [key, isAnything(value) ? '...' : value] as const,
  )
  return { kind: 'event', name, fields: Object.fromEntries(fields), line: block.number }
}

const isAnything = (value: Expression) => value.kind === 'literal' && value.value === '...'

function intent(file: string, block: Block, rest: string): string {
  const name = rest.replace(/:$/, '').trim()
  if (name === '')
    throw new ColangError(file, block.number, `a name is missing after ${JSON.stringify(block.text)}`)
  if (name.startsWith('"'))
    throw new ColangError(file, block.number, 'give an intent, and its texts in "define user"')
  return name
}

function invocation(
  file: string,
  block: Block,
  text: string,
): { name: string; parameters: Record<string, Expression> } {
  const found = /^(?<name>[A-Za-z_][\w.]*)(?: ?\((?<args>.*)\))?$/.exec(text.trim())
  if (!found?.groups)
    throw new ColangError(
      file,
      block.number,
      `expected name(key=value, …), not ${JSON.stringify(text.slice(0, 60))}`,
    )
  return { name: found.groups.name ?? '', parameters: parameters(file, block, found.groups.args ?? '') }
}

function parameters(file: string, block: Block, text: string): Record<string, Expression> {
  const entries = splitArguments(text).map((argument) => {
    const [, key, value] = /^\$?([A-Za-z_]\w*) ?=(?!=) ?(.+)$/s.exec(argument) ?? []
    if (key === undefined || value === undefined)
      throw new ColangError(
        file,
        block.number,
        `arguments are named: key=value, not ${JSON.stringify(argument.slice(0, 60))}`,
      )
    return [key, expression(file, block, value)] as const
  })
  return Object.fromEntries(entries)
}

/** Splits at the commas that are neither in a string nor in brackets. */
function splitArguments(text: string): string[] {
  const parts: string[] = []
  let depth = 0
  let start = 0
  const mask = stringMask(text)
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? ''
    if (!'()[]{},'.includes(char) || mask[at]) continue
    if ('([{'.includes(char)) depth += 1
    else if (char !== ',') depth -= 1
    else if (depth === 0) {
      parts.push(text.slice(start, at))
      start = at + 1
    }
  }
  parts.push(text.slice(start))
  return parts.map((part) => part.trim()).filter(Boolean)
}

function expression(file: string, block: Block, text: string): Expression {
  return guarded(file, block, () => parseExpression(text.replace(/:$/, '')))
}

function guarded<T>(file: string, block: Block, read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new ColangError(file, block.number, error instanceof Error ? error.message : String(error))
  }
}
