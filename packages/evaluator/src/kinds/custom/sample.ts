// SPDX-License-Identifier: Apache-2.0
import type { EvaluationParams, TaskConfig } from '@open-nemo/contract/evaluation/schemas.ts'
import type { ModelClient } from '../../model/types.ts'
import type { Row, RunContext } from '../types.ts'
import { asItem } from './columns.ts'
import type { TaskType } from './kind.ts'
import { chatBody, completionBody } from './prompt.ts'

/** What a row led to: the text under test, what templates see as `sample`, and what people see. */
export interface Answered {
  text: string
  sample: Record<string, unknown>
  shown: Record<string, string>
}

/** Where recorded rows keep the text under test. */
const OUTPUTS = [
  'output_text',
  'output',
  'response',
  'llm_response',
  'answer',
  'completion',
  'generated_answer',
]

/** A recorded row as a sample. */
export function outputOf(row: Row): Answered {
  const key = OUTPUTS.find((name) => typeof row[name] === 'string')
  const text = key === undefined ? '' : (row[key] as string)
  return { text, sample: { ...asItem(row), output_text: text }, shown: { output: text } }
}

/** Asks the model about a row, with the task's template and the config's parameters. */
export function askModel(args: {
  task: TaskConfig
  type: TaskType
  ctx: RunContext
  model: ModelClient
}): (item: Row) => Promise<Answered> {
  const { task, type, ctx, model } = args
  const defaults = { ...generation(ctx.request.config.params ?? {}), ...generation(task.params ?? {}) }
  const template = task.params?.template
  if (type === 'completion' && !isChat(template)) {
    return async (item) => {
      const body = await completionBody(template, seen(item), ctx.templates)
      const { text, response } = await model.complete({ ...defaults, ...body })
      return {
        text,
        sample: { output_text: text, response },
        shown: { input: String(body.prompt), output: text },
      }
    }
  }
  return async (item) => {
    const body = template == null ? rowBody(item) : await chatBody(template, seen(item), ctx.templates)
    const { text, message, response } = await model.chat({ ...defaults, ...body })
    const calls = message?.tool_calls
    const said = text || !calls?.length ? text : JSON.stringify(calls)
    return {
      text,
      sample: { output_text: text, response, ...(calls?.length ? { tool_calls: calls } : {}) },
      shown: { input: inputText(body.messages), output: said },
    }
  }
}

function seen(row: Row): Record<string, unknown> {
  const item = asItem(row)
  return { ...item, item }
}

/** Messages are for a chat, whatever the task calls itself. */
function isChat(template: unknown): boolean {
  return (
    typeof template === 'object' && template !== null && 'messages' in template && !('prompt' in template)
  )
}

/** Without a template, a row that holds messages or a prompt is asked as it is; an answer at its end is left out. */
function rowBody(item: Row): Record<string, unknown> {
  if (Array.isArray(item.messages)) {
    const isAnswered = item.messages.at(-1)?.role === 'assistant'
    const { tools } = item
    return {
      messages: isAnswered ? item.messages.slice(0, -1) : item.messages,
      ...(Array.isArray(tools) && tools.length > 0 ? { tools } : {}),
    }
  }
  const prompt = PROMPTS.map((name) => item[name]).find((value) => typeof value === 'string')
  if (prompt === undefined)
    throw new Error('the row has neither messages nor a prompt, and the task no template')
  return { messages: [{ role: 'user', content: prompt }] }
}

const PROMPTS = ['prompt', 'question', 'input', 'instruction']
const GENERATION = ['max_tokens', 'temperature', 'top_p', 'stop', 'seed'] as const

function generation(params: EvaluationParams | Record<string, unknown>): Record<string, unknown> {
  const given = params as Record<string, unknown>
  return Object.fromEntries(
    GENERATION.filter((name) => given[name] != null).map((name) => [name, given[name]]),
  )
}

function inputText(messages: unknown): string {
  if (!Array.isArray(messages)) return ''
  return messages
    .map(
      (one) =>
        `${one?.role}: ${typeof one?.content === 'string' ? one.content : JSON.stringify(one?.content)}`,
    )
    .join('\n')
}
