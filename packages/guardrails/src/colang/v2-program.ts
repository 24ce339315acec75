// SPDX-License-Identifier: Apache-2.0
import { type Expression, parseExpression } from './expression.ts'
import { type Block, ColangError, readBlocks, stringMask } from './source.ts'
import { readString } from './tokens.ts'

/** What of Colang 2.x is run: the guardrail flows `input rails`, `output rails` and `llm continuation`, and what they call. */
export interface V2Flow {
  name: string
  parameters: string[]
  file: string
  line: number
  body: V2Statement[]
}

interface At {
  line: number
}

export type V2Statement =
  | ({ kind: 'set'; variable: string; value: Expression } & At)
  | ({ kind: 'generate'; variable: string; instructions: string } & At)
  | ({ kind: 'action'; name: string; parameters: Record<string, Expression>; result?: string } & At)
  /** A flow of the files or a rail; `words` are its name with the arguments in it. */
  | ({ kind: 'call'; name: string; args: Expression[]; result?: string } & At)
  | ({ kind: 'say'; text: Expression } & At)
  | ({ kind: 'if'; cases: { test: Expression; body: V2Statement[] }[]; otherwise: V2Statement[] } & At)
  | ({ kind: 'while'; test: Expression; body: V2Statement[] } & At)
  | ({ kind: 'return'; value?: Expression } & At)
  | ({ kind: 'abort' | 'pass' } & At)

const GUARDRAIL_FLOWS =
  'only the flows "input rails", "output rails" and "llm continuation" of Colang 2.x run here'
const LIBRARY = /^(?:core|llm|guardrails|timing|lmm|avatars|passthrough|nemoguardrails(?:\.\w+)*)$/
const NEEDS_EVENTS = /^(?:match|send|start|when|or when|user|and|or|not|priority|break|continue)\b/
const ACTIVATED = new Set(['llm continuation', 'automating intent detection', 'polling llm request response'])

/** Parses a Colang 2.x file into flows by name. Throws ColangError at the first thing that does not run here. */
export function parseV2(file: string, text: string): Map<string, V2Flow> {
  const flows = new Map<string, V2Flow>()
  for (const block of readBlocks(file, text)) {
    if (block.text.startsWith('@')) continue
    const imported = /^import (.+)$/.exec(block.text)?.[1]
    if (imported !== undefined) {
      if (!LIBRARY.test(imported))
        throw new ColangError(file, block.number, `no library ${imported} to import`)
      continue
    }
    const flow = readFlow(file, block)
    if (flow.name !== 'main') flows.set(flow.name, flow)
  }
  return flows
}

function readFlow(file: string, block: Block): V2Flow {
  const found =
    /^flow (?<name>[A-Za-z_][\w ]*?)(?<parameters>(?: \$\w+(?: ?= ?[^ ]+)?)*)(?: ?-> ?\$\w+)?:?$/.exec(
      block.text,
    )
  if (!found?.groups) throw new ColangError(file, block.number, 'expected "flow name $parameter"')
  const { name = '', parameters = '' } = found.groups
  if (name === 'main') checkMain(file, block)
  return {
    name,
    parameters: [...parameters.matchAll(/\$(\w+)/g)].map((one) => one[1] ?? ''),
    file,
    line: block.number,
    body: name === 'main' ? [] : readBody(file, block),
  }
}

function checkMain(file: string, block: Block): void {
  for (const line of block.body) {
    const flow = /^activate (.+)$/.exec(line.text)?.[1]
    if (flow === undefined || !ACTIVATED.has(flow)) throw new ColangError(file, line.number, GUARDRAIL_FLOWS)
  }
}

function readBody(file: string, block: Block): V2Statement[] {
  if (block.body.length === 0)
    throw new ColangError(file, block.number, 'nothing is indented below this line; write pass')
  const statements: V2Statement[] = []
  for (const line of block.body) {
    const word = /^(?:else if|elif|else)\b/.exec(line.text)?.[0]
    const before = statements.at(-1)
    if (word === undefined) statements.push(readStatement(file, line))
    else if (before?.kind !== 'if' || before.otherwise.length > 0)
      throw new ColangError(file, line.number, `"${word}" without an "if" before it`)
    else if (word === 'else') before.otherwise = readBody(file, line)
    else
      before.cases.push({
        test: expression(file, line, line.text.slice(word.length)),
        body: readBody(file, line),
      })
  }
  return statements
}

function readStatement(file: string, block: Block): V2Statement {
  const { text, number: line } = block
  if (NEEDS_EVENTS.test(text)) throw new ColangError(file, line, GUARDRAIL_FLOWS)
  const branch = /^(if|while) (.+)$/.exec(text)
  if (branch) {
    const test = expression(file, block, branch[2] ?? '')
    const body = readBody(file, block)
    return branch[1] === 'if'
      ? { kind: 'if', cases: [{ test, body }], otherwise: [], line }
      : { kind: 'while', test, body, line }
  }
  if (block.body[0])
    throw new ColangError(file, block.body[0].number, `nothing can be nested below ${JSON.stringify(text)}`)
  if (/^(pass|global |log |print )/.test(text) || text === 'pass') return { kind: 'pass', line }
  if (text === 'abort') return { kind: 'abort', line }
  const returned = /^return\b ?(.*)$/.exec(text)
  if (returned)
    return { kind: 'return', ...(returned[1] && { value: expression(file, block, returned[1]) }), line }
  const assigned = /^\$(?<variable>\w+) ?=(?!=) ?(?<value>.+)$/.exec(text)
  if (assigned?.groups)
    return assignment(file, block, assigned.groups.variable ?? '', assigned.groups.value ?? '')
  const said = /^(?:await )?bot say (.+)$/.exec(text)
  if (said) return { kind: 'say', text: expression(file, block, said[1] ?? ''), line }
  return call(file, block, text.replace(/^(?:await|activate) /, ''))
}

function assignment(file: string, block: Block, variable: string, value: string): V2Statement {
  const line = block.number
  if (value.startsWith('...')) {
    const quoted = value.slice(3).trim()
    return {
      kind: 'generate',
      variable,
      instructions: quoted.startsWith('"') ? readString(quoted, 0).content : '',
      line,
    }
  }
  const run = /^await (.+)$/.exec(value)
  return run
    ? { ...call(file, block, run[1] ?? ''), result: variable }
    : { kind: 'set', variable, value: expression(file, block, value), line }
}

type Call = Extract<V2Statement, { kind: 'action' | 'call' }>

/** `SomeAction(key=value)`, or the name of a flow with its arguments after it. */
function call(file: string, block: Block, text: string): Call {
  const line = block.number
  const action = /^(?<name>[A-Z]\w*Action)\((?<args>.*)\)$/.exec(text)
  if (action?.groups) {
    const entries = splitAt(action.groups.args ?? '', ',').map((one) => {
      const [, key, value] = /^\$?(\w+) ?=(?!=) ?(.+)$/.exec(one) ?? []
      if (key === undefined)
        throw new ColangError(file, line, `arguments are named: key=value, not ${JSON.stringify(one)}`)
      return [key, expression(file, block, value ?? '')] as const
    })
    return {
      kind: 'action',
      name: snakeCase(action.groups.name ?? ''),
      parameters: Object.fromEntries(entries),
      line,
    }
  }
  const found = /^(?<name>[a-z_][\w ]*?)(?: ?(?<args>[$"'\d([].*))?$/.exec(text)
  if (!found?.groups)
    throw new ColangError(
      file,
      line,
      `${JSON.stringify(text.slice(0, 60))} is not understood; ${GUARDRAIL_FLOWS}`,
    )
  const { name = '', args = '' } = found.groups
  // A named argument is part of a rail's name, as in `content safety check input $model="x"`.
  const named = /^\$\w+ ?=/.test(args)
  const plain = named ? [] : splitAt(args.replace(/^\((.*)\)$/, '$1').replaceAll(',', ' '), ' ')
  return {
    kind: 'call',
    name: named ? `${name} ${args.replaceAll('"', '')}` : name,
    args: plain.map((one) => expression(file, block, one)),
    line,
  }
}

/** `CheckTextAction` is the action check_text, as NeMo Guardrails names them. */
function snakeCase(name: string): string {
  return name
    .replace(/Action$/, '')
    .replace(/(?<=[a-z0-9])[A-Z]/g, '_$&')
    .toLowerCase()
}

function splitAt(text: string, mark: string): string[] {
  const mask = stringMask(text)
  const parts: string[] = []
  let start = 0
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    if (mask[at]) continue
    const char = text[at] ?? ''
    if ('([{'.includes(char)) depth += 1
    else if (')]}'.includes(char)) depth -= 1
    else if (char === mark && depth === 0) {
      parts.push(text.slice(start, at))
      start = at + 1
    }
  }
  return [...parts, text.slice(start)].map((part) => part.trim()).filter(Boolean)
}

function expression(file: string, block: Block, text: string): Expression {
  try {
    return parseExpression(text.trim().replace(/:$/, ''))
  } catch (error) {
    throw new ColangError(file, block.number, error instanceof Error ? error.message : String(error))
  }
}
