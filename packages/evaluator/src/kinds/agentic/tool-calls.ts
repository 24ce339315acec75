// SPDX-License-Identifier: Apache-2.0
import type { Row } from '../types.ts'

export interface ToolCall {
  name: string
  args: Record<string, unknown>
}

/** A turn of a conversation with an agent, in whatever form it was logged. */
export interface Turn {
  role: 'human' | 'ai' | 'tool' | 'system'
  text: string
  calls: ToolCall[]
}

const ROLES: Record<string, Turn['role']> = {
  human: 'human',
  user: 'human',
  ai: 'ai',
  assistant: 'ai',
  tool: 'tool',
  function: 'tool',
  system: 'system',
  developer: 'system',
}

/** Reads the messages of `user_input`: ragas' form (type, args) or OpenAI's (role, function.arguments). Throws for others. */
export function readTurns(given: unknown): Turn[] {
  if (!Array.isArray(given)) throw new Error('user_input is no list of messages')
  return given.map((message: Row, at) => {
    const role = ROLES[String(message?.type ?? message?.role)]
    if (!role) throw new Error(`user_input[${at}] has neither a known type nor a known role`)
    const content = message.content ?? ''
    return {
      role,
      text: typeof content === 'string' ? content : JSON.stringify(content),
      calls: readCalls(message.tool_calls ?? []),
    }
  })
}

/** Reads tool calls, also from JSON text. Throws for what is none. */
export function readCalls(given: unknown): ToolCall[] {
  const list = typeof given === 'string' ? JSON.parse(given) : given
  if (!Array.isArray(list)) throw new Error('tool calls are no list')
  return list.map((call) => {
    const { name, args, arguments: text } = call?.function ?? call ?? {}
    if (typeof name !== 'string') throw new Error('a tool call has no name')
    const values = args ?? text ?? {}
    return { name, args: typeof values === 'string' ? JSON.parse(values) : values }
  })
}

/**
 * How well calls follow the expected ones, 0..1, as ragas counts: 0 unless the same tools are called in the same order,
 * else the mean share of arguments that are the same.
 */
export function toolCallAccuracy(calls: readonly ToolCall[], expected: readonly ToolCall[]): number {
  if (calls.length === 0 && expected.length === 0) return 1
  const names = (list: readonly ToolCall[]) => JSON.stringify(list.map((call) => call.name))
  if (names(calls) !== names(expected)) return 0
  return (
    expected.reduce((sum, one, at) => sum + sameArguments(calls[at]?.args ?? {}, one.args), 0) /
    expected.length
  )
}

function sameArguments(given: Record<string, unknown>, expected: Record<string, unknown>): number {
  const keys = Object.keys(expected)
  if (keys.length === 0) return Object.keys(given).length === 0 ? 1 : 0
  const right = keys.filter(
    (key) => Object.hasOwn(given, key) && canonical(given[key]) === canonical(expected[key]),
  )
  return right.length / keys.length
}

/** A value as text that does not depend on the order of keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join()}}`
}

/** A conversation as a judge reads it. */
export function transcript(turns: readonly Turn[]): string {
  return turns
    .map(({ role, text, calls }) => {
      const called = calls.map((call) => `  calls ${call.name}(${JSON.stringify(call.args)})`)
      return [`${role}: ${text}`, ...called].join('\n')
    })
    .join('\n')
}
