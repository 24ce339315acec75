// SPDX-License-Identifier: Apache-2.0

/** The names in a prompt template's braces, such as `prompt` and `completion`. */
export function templateFields(template: string): string[] {
  return [...new Set([...template.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? ''))]
}

/** Says what is wrong with a row of training data, or undefined. The same rules as the trainer's own. */
export function rowCheck(training: string, promptTemplate: string): (row: unknown) => string | undefined {
  if (training === 'embedding') return tripletProblem
  const fields = templateFields(promptTemplate)
  return training === 'dpo' ? (row) => pairProblem(row, fields) : (row) => rowProblem(row, fields)
}

function rowProblem(row: unknown, fields: readonly string[]): string | undefined {
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

// The API's names first, then those of data sets made for other trainers.
const CHOSEN = ['chosen_response', 'chosen']
const REJECTED = ['rejected_response', 'rejected']

/** A prompt with a better and a worse answer: texts for the prompt template, or messages for the chat template. */
function pairProblem(row: unknown, fields: readonly string[]): string | undefined {
  if (!isObject(row)) return 'the line is not a JSON object'
  const answers: unknown[] = []
  for (const names of [CHOSEN, REJECTED]) {
    const name = names.find((each) => Object.hasOwn(row, each))
    if (!name) return `the row has no field "${names[0]}" (it has: ${Object.keys(row).join(', ') || 'none'})`
    const value = row[name]
    const isText = typeof value === 'string' && value !== ''
    const isMessages = (Array.isArray(value) && value.length > 0) || isObject(value)
    if (!isText && !isMessages) return `the field "${name}" is neither text nor a message`
    answers.push(value)
  }
  if (JSON.stringify(answers[0]) === JSON.stringify(answers[1])) {
    return 'the chosen and the rejected answer are the same'
  }
  const { prompt = '' } = row
  if (!Array.isArray(prompt) && !answers.some(Array.isArray)) {
    // The template's last field is the answer.
    const last = fields.at(-1) ?? 'completion'
    return rowProblem({ ...row, [last]: answers[0] }, fields)
  }
  if (typeof prompt !== 'string' && !Array.isArray(prompt)) {
    return 'the field "prompt" is neither text nor a list of messages'
  }
  const before = typeof prompt === 'string' ? (prompt ? [{ role: 'user', content: prompt }] : []) : prompt
  return answers
    .map((answer) => chatProblem({ messages: [...before, ...turnsOf(answer)], tools: row.tools }))
    .find(Boolean)
}

/** A query with the document that answers it, and documents that do not. */
function tripletProblem(row: unknown): string | undefined {
  if (!isObject(row)) return 'the line is not a JSON object'
  for (const field of ['query', 'pos_doc']) {
    if (!Object.hasOwn(row, field)) {
      return `the row has no field "${field}" (it has: ${Object.keys(row).join(', ') || 'none'})`
    }
    if (!isFilled(row[field])) return `the field "${field}" is not a text with something in it`
  }
  const given = row.neg_doc ?? []
  const negatives: unknown = typeof given === 'string' ? [given] : given
  if (!Array.isArray(negatives)) return 'the field "neg_doc" is not a list of texts'
  const empty = negatives.findIndex((each) => !isFilled(each))
  if (empty >= 0) return `neg_doc[${empty}] is not a text with something in it`
  const same = negatives.indexOf(row.pos_doc)
  return same >= 0 ? `neg_doc[${same}] is the same text as pos_doc` : undefined
}

const isFilled = (value: unknown) => typeof value === 'string' && value.trim() !== ''

function turnsOf(answer: unknown): unknown[] {
  if (typeof answer === 'string') return [{ role: 'assistant', content: answer }]
  return Array.isArray(answer) ? answer : [answer]
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
