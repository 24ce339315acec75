// SPDX-License-Identifier: Apache-2.0

/** The names in a prompt template's braces, such as `prompt` and `completion`. */
export function templateFields(template: string): string[] {
  return [...new Set([...template.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? ''))]
}

/** What is wrong with a row of training data, or undefined. The same rules as the trainer's own. */
export function rowProblem(row: unknown, fields: readonly string[]): string | undefined {
  if (!isObject(row)) return 'the line is not a JSON object'
  if ('messages' in row) return chatProblem(row)
  for (const field of fields) {
    if (!Object.hasOwn(row, field)) {
      return `the row has no field "${field}" (it has: ${Object.keys(row).join(', ') || 'none'})`
    }
    if (typeof row[field] !== 'string') return `the field "${field}" is not a string`
  }
  return undefined
}

function chatProblem(row: Record<string, unknown>): string | undefined {
  const { messages, tools } = row
  if (!Array.isArray(messages) || messages.length === 0) {
    return 'messages is not a list of at least one message'
  }
  if (tools != null && !Array.isArray(tools)) return 'tools is not a list'
  for (const [i, message] of messages.entries()) {
    const problem = messageProblem(message)
    if (problem) return `messages[${i}]${problem}`
  }
  const isAnswered = messages.some((message) => message.role === 'assistant')
  return isAnswered ? undefined : 'messages has no assistant turn to learn from'
}

function messageProblem(message: unknown): string | undefined {
  if (!isObject(message) || typeof message.role !== 'string') return ' is not an object with a role'
  const { role, content, tool_calls: calls } = message
  if (content != null && typeof content !== 'string' && !Array.isArray(content)) {
    return '.content is neither text nor null'
  }
  if (calls != null && !Array.isArray(calls)) return '.tool_calls is not a list'
  const isSilent = content == null && !(Array.isArray(calls) && calls.length > 0)
  if (isSilent && (role === 'assistant' || !('content' in message))) {
    return ' has neither content nor tool_calls'
  }
  return undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
