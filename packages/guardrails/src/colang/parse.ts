// SPDX-License-Identifier: Apache-2.0
import { allStatements, type Flow, type Program } from './program.ts'
import { type Block, ColangError } from './source.ts'
import { parseStatements } from './statements.ts'
import { readString } from './tokens.ts'

/** Adds what one `define …` block defines to a program. Throws ColangError for what is wrong or unsupported in it. */
export function defineBlock(program: Program, file: string, block: Block): void {
  const found = /^(?:define|def) (?<what>.+?):?$/.exec(block.text)
  const what = found?.groups?.what
  if (what === undefined) throw new ColangError(file, block.number, unknownDefinition(block.text))
  const [, kind = '', name = ''] = /^(user|bot)(?: (.+))?$/.exec(what) ?? []
  if (kind) {
    if (name === '')
      throw new ColangError(file, block.number, `name the intent: define ${kind} express greeting`)
    const texts = kind === 'user' ? program.users : program.bots
    const { intent, inline } = splitText(name)
    texts.set(intent, [
      ...(texts.get(intent) ?? []),
      ...inline,
      ...block.body.flatMap((line) => quoted(file, line)),
    ])
    return
  }
  const flow = readFlow(file, block, what)
  if (program.flows.has(flow.name))
    throw new ColangError(file, block.number, `flow ${flow.name} is defined twice`)
  program.flows.set(flow.name, flow)
  for (const statement of allStatements(flow.body)) {
    if (statement.kind !== 'bot' || statement.text === undefined || program.bots.has(statement.intent))
      continue
    program.bots.set(statement.intent, [statement.text])
  }
}

function unknownDefinition(text: string): string {
  if (/^(import|include) /.test(text))
    return 'all .co files of a configuration are read: leave the import out'
  if (/^(flow|@)/.test(text)) return 'this is Colang 2.x: set colang_version: "2.x" in config.yml'
  return `expected "define user", "define bot", "define flow" or "define subflow", not ${JSON.stringify(text.slice(0, 60))}`
}

function readFlow(file: string, block: Block, what: string): Flow {
  const found =
    /^(?<marks>(?:(?:parallel|extension|continuous|sample) )*)(?<kind>flow|subflow)(?: (?<name>.+))?$/.exec(
      what,
    )
  if (!found?.groups) throw new ColangError(file, block.number, unknownDefinition(block.text))
  const { marks = '', kind, name } = found.groups
  if (kind === 'subflow' && name === undefined)
    throw new ColangError(file, block.number, 'name the subflow: define subflow check input')
  const settings = readSettings(file, block.body)
  const body = parseStatements(file, settings.rest)
  if (body.length === 0) throw new ColangError(file, block.number, 'this flow has no statements')
  return {
    // Flows may be nameless; none calls them.
    name: name ?? `flow in ${file} at line ${block.number}`,
    file,
    line: block.number,
    body,
    subflow: kind === 'subflow',
    extension: marks.includes('extension') || settings.extension,
    parallel: marks.includes('parallel') || settings.parallel,
    priority: settings.priority,
    interruptible: settings.interruptible,
  }
}

interface Settings {
  priority: number
  extension: boolean
  parallel: boolean
  interruptible: boolean
  rest: Block[]
}

/** The `priority` and `meta` lines of a flow, and the others. */
function readSettings(file: string, body: Block[]): Settings {
  const settings: Settings = { priority: 1, extension: false, parallel: false, interruptible: true, rest: [] }
  for (const block of body) {
    if (block.text.startsWith('priority ')) settings.priority = priority(file, block, block.text.slice(9))
    else if (/^meta:?$/.test(block.text)) for (const line of block.body) readMeta(file, line, settings)
    else settings.rest.push(block)
  }
  return settings
}

function readMeta(file: string, line: Block, settings: Settings): void {
  const [key = '', value = 'true'] = line.text.split(/\s*[:=]\s*/)
  const on = /^true$/i.test(value)
  if (key === 'priority') settings.priority = priority(file, line, value)
  else if (key === 'is_extension' || key === 'extension') settings.extension = on
  else if (key === 'allow_multiple') settings.parallel = on
  else if (key === 'is_interruptible' || key === 'interruptible') settings.interruptible = on
  // Whether a flow is shown to the model as an example is no matter of what it does.
  else if (!key.startsWith('exclude from llm')) {
    throw new ColangError(
      file,
      line.number,
      `no setting ${key}; there are priority, extension, allow_multiple, interruptible`,
    )
  }
}

function priority(file: string, line: Block, value: string): number {
  const number = Number(value)
  if (value.trim() === '' || !Number.isFinite(number))
    throw new ColangError(file, line.number, `priority ${value} is no number`)
  return number
}

/** The texts of one line of a user or bot definition. */
function quoted(file: string, line: Block): string[] {
  if (line.body[0])
    throw new ColangError(file, line.body[0].number, 'nothing can be nested below a quoted text')
  const texts: string[] = []
  let rest = line.text
  while (rest !== '') {
    if (rest[0] !== '"' && rest[0] !== "'")
      throw new ColangError(
        file,
        line.number,
        `expected a quoted text, not ${JSON.stringify(rest.slice(0, 40))}`,
      )
    const { content, end } = stringAt(file, line.number, rest)
    texts.push(content.replaceAll(/\[([^\]]*)\]\((\w+)\)/g, '$1'))
    rest = rest.slice(end).trim()
  }
  return texts
}

function stringAt(file: string, line: number, text: string): { content: string; end: number } {
  try {
    return readString(text, 0)
  } catch (error) {
    throw new ColangError(file, line, error instanceof Error ? error.message : String(error))
  }
}

function splitText(name: string): { intent: string; inline: string[] } {
  const at = name.indexOf('"')
  if (at === -1) return { intent: name, inline: [] }
  return { intent: name.slice(0, at).trim(), inline: [readString(name, at).content] }
}
