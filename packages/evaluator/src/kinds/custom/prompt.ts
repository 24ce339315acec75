// SPDX-License-Identifier: Apache-2.0
import type { TemplateEngine } from '../../templates/types.ts'

type Tree = Record<string, unknown>

/** The body of a chat request from its template: messages as a list, or as a Jinja text that gives their JSON. */
export async function chatBody(template: unknown, context: Tree, templates: TemplateEngine): Promise<Tree> {
  const parts = typeof template === 'string' ? { messages: template } : (template as Tree)
  const body = await renderFields(parts, context, templates)
  const { prompt, ...rest } = body
  const messages = toMessages(parsed(body.messages) ?? body.messages ?? prompt)
  if (messages.length === 0) throw new Error('the template gives no messages')
  return { ...rest, messages: messages.map(withTextArguments) }
}

/** The body of a completion request from its template. */
export async function completionBody(
  template: unknown,
  context: Tree,
  templates: TemplateEngine,
): Promise<Tree> {
  const parts = typeof template === 'string' ? { prompt: template } : (template as Tree)
  const body = await renderFields(parts, context, templates)
  if (typeof body.prompt !== 'string') throw new Error('the template gives no prompt')
  return body
}

const STRUCTURED = ['tools', 'tool_choice', 'response_format', 'stop', 'logit_bias', 'nvext', 'guided_json']

/** Renders every field; those that hold JSON as text are parsed, and those that render to nothing are left out. */
async function renderFields(parts: Tree, context: Tree, templates: TemplateEngine): Promise<Tree> {
  const body: Tree = {}
  for (const [key, template] of Object.entries(parts)) {
    const value = await templates.renderAll(template, context)
    const isEmpty = value === null || value === undefined || value === '' || value === 'null'
    if (isEmpty && key !== 'prompt' && key !== 'messages') continue
    body[key] = STRUCTURED.includes(key) || isNumberField(key, value) ? (parsed(value) ?? value) : value
  }
  if (Array.isArray(body.tools) && body.tools.length === 0) {
    delete body.tools
    delete body.tool_choice
  }
  return body
}

/** A number that came out of a template is one again. */
function isNumberField(key: string, value: unknown): boolean {
  return typeof value === 'string' && /^(max_|temperature|top_|n$|seed|presence|frequency)/.test(key)
}

function parsed(value: unknown): unknown {
  if (typeof value !== 'string') return undefined
  try {
    return JSON.parse(value)
  } catch {
    return undefined
  }
}

function toMessages(value: unknown): Tree[] {
  if (Array.isArray(value)) return value as Tree[]
  if (typeof value === 'object' && value !== null) return [value as Tree]
  return value === undefined || value === null ? [] : [{ role: 'user', content: String(value) }]
}

/** Training files hold the arguments of tool calls as objects; the OpenAI API wants them as text. */
function withTextArguments(message: Tree): Tree {
  if (!Array.isArray(message.tool_calls)) return message
  const tool_calls = message.tool_calls.map((call) => {
    const fn = call?.function
    if (typeof fn?.arguments !== 'object' || fn.arguments === null) return call
    return { type: 'function', ...call, function: { ...fn, arguments: JSON.stringify(fn.arguments) } }
  })
  return { ...message, tool_calls }
}
