// SPDX-License-Identifier: Apache-2.0
import { inferenceErrors as errors } from '@open-nemo/contract/inference/errors.ts'
import type { ChatRequest, Tool } from '@open-nemo/contract/inference/schemas.ts'
import { GrammarBuilder, literal, SchemaError } from './json-grammar.ts'

type ResponseFormat = ChatRequest['response_format']

/**
 * The grammar that an answer has to follow, or undefined when it is free text. A tool choice of `required` or a named
 * function forces a call; `response_format` forces JSON. With both, and tools left to the model, either may come.
 * Throws SCHEMA_NOT_SUPPORTED and TOOL_NOT_FOUND.
 */
export function answerGrammar(request: {
  tools?: Tool[] | null | undefined
  tool_choice?: ChatRequest['tool_choice']
  parallel_tool_calls?: boolean | null | undefined
  response_format?: ResponseFormat
}): string | undefined {
  const tools = request.tools ?? []
  const format = request.response_format
  const choice = request.tool_choice ?? (tools.length > 0 ? 'auto' : 'none')
  const strict = format?.json_schema?.strict === true
  const builder = new GrammarBuilder({ strict })
  if (choice !== 'auto' && choice !== 'none') {
    const free = new GrammarBuilder()
    return free.build(callsRule(free, chosenTools(tools, choice), request.parallel_tool_calls === true))
  }
  const json = jsonRule(builder, format)
  if (json === undefined) return undefined
  if (choice === 'none' || tools.length === 0) return builder.build(json)
  return builder.build(`${json} | ${callsRule(builder, tools, request.parallel_tool_calls === true)}`)
}

function chosenTools(tools: Tool[], choice: Exclude<ChatRequest['tool_choice'], null | undefined>): Tool[] {
  if (typeof choice === 'string') {
    if (tools.length === 0) {
      throw errors.PARAMETER_NOT_SUPPORTED({
        field: 'tool_choice',
        reason: 'there are no tools to choose from',
      })
    }
    return tools
  }
  const found = tools.filter((t) => t.function.name === choice.function.name)
  if (found.length === 0) {
    const names = tools.map((t) => t.function.name).join(', ') || '(tools is empty)'
    throw errors.TOOL_NOT_FOUND({ name: choice.function.name, names, field: 'tool_choice' })
  }
  return found
}

function callsRule(builder: GrammarBuilder, tools: Tool[], parallel: boolean): string {
  const calls = tools.map(({ function: f }) => {
    const schema = f.parameters && Object.keys(f.parameters).length > 0 ? f.parameters : { type: 'object' }
    const args = enforce(`tools (${f.name})`, () => builder.schema(schema))
    return `${literal(`{"name": ${JSON.stringify(f.name)}, "arguments": `)} ${args} "}"`
  })
  const one = `"<tool_call>\\n" (${calls.join(' | ')}) "\\n</tool_call>"`
  return parallel ? `${one} ("\\n" ${one}){0,7}` : one
}

function jsonRule(builder: GrammarBuilder, format: ResponseFormat): string | undefined {
  if (!format || format.type === 'text') return undefined
  const schema = format.type === 'json_schema' ? format.json_schema?.schema : undefined
  if (format.type === 'json_schema' && !schema) {
    throw errors.SCHEMA_NOT_SUPPORTED({
      field: 'response_format',
      reason: 'response_format.json_schema.schema is missing',
    })
  }
  if (!schema) return builder.primitive('object')
  return enforce('response_format', () => builder.schema(schema))
}

function enforce<T>(field: string, make: () => T): T {
  try {
    return make()
  } catch (err) {
    if (err instanceof SchemaError)
      throw errors.SCHEMA_NOT_SUPPORTED({ field, reason: err.message }, { cause: err })
    throw err
  }
}
