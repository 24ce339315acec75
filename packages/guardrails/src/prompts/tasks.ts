// SPDX-License-Identifier: Apache-2.0
import type { TaskPromptData } from '@open-nemo/contract/guardrails/config-data.ts'
import { messageText } from '../engine/text.ts'
import type { Message } from '../engine/types.ts'
import { type OutputParser, outputParser, PARSER_NAMES } from './parsers.ts'
import { compileTemplate, type PromptFilters, type PromptTemplate } from './template.ts'

/** A prompt ready to be rendered. */
export interface TaskPrompt {
  task: string
  render(values: Record<string, unknown>): Message[]
  parser: OutputParser | undefined
  /** Characters that the rendered prompt may have. */
  maxLength: number
  maxTokens: number | undefined
  stop: string[] | undefined
}

/** Longest rendered prompt where the configuration says nothing. */
const MAX_LENGTH = 16_000

/** What a prompt's text refers to as `{{ history | to_chat_messages }}`: the conversation as messages. */
const CHAT_MESSAGES = /^\s*\{\{\s*history\s*\|\s*to_chat_messages\s*\}\}\s*$/

/** Compiles the prompt of a task. Throws naming what is wrong with it. */
export function compilePrompt(prompt: TaskPromptData, filters: PromptFilters): TaskPrompt {
  const { task, content, messages } = prompt
  if (!content && !messages?.length)
    throw new Error(`the prompt of task "${task}" has neither content nor messages`)
  const parser = prompt.output_parser ? outputParser(prompt.output_parser) : undefined
  // the parsers of dialog tasks belong to the dialog, which reads its answers itself
  if (prompt.output_parser && !parser && !DIALOG_PARSERS.includes(prompt.output_parser))
    throw new Error(
      `output_parser "${prompt.output_parser}" of task "${task}" is not known; there are ${PARSER_NAMES.join(', ')}`,
    )
  return {
    task,
    parser,
    render: content ? fromText(content, filters) : fromMessages(messages ?? [], filters),
    maxLength: prompt.max_length ?? MAX_LENGTH,
    maxTokens: prompt.max_tokens ?? undefined,
    stop: prompt.stop ?? undefined,
  }
}

const DIALOG_PARSERS = ['user_intent', 'bot_intent', 'bot_message', 'verbose_v1']

function fromText(content: string, filters: PromptFilters): TaskPrompt['render'] {
  const template = compileTemplate(content, filters)
  return (values) => [{ role: 'user', content: template.render(values) }]
}

const ROLES: Record<string, string> = { bot: 'assistant' }

function fromMessages(
  parts: NonNullable<TaskPromptData['messages']>,
  filters: PromptFilters,
): TaskPrompt['render'] {
  const compiled = parts.map((part): (PromptTemplate & { role: string }) | 'history' => {
    if (typeof part === 'string') {
      if (CHAT_MESSAGES.test(part)) return 'history'
      return { role: 'user', ...compileTemplate(part, filters) }
    }
    return { role: ROLES[part.type] ?? part.type, ...compileTemplate(part.content, filters) }
  })
  return (values) =>
    compiled.flatMap((part) =>
      part === 'history'
        ? ((values.chat_history ?? []) as Message[])
        : [{ role: part.role, content: part.render(values) }],
    )
}

/** Characters of a rendered prompt. */
export function promptLength(messages: Message[]): number {
  return messages.reduce((sum, m) => sum + messageText(m).length, 0)
}
