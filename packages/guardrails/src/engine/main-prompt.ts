// SPDX-License-Identifier: Apache-2.0
import type { Turn } from './compiled.ts'
import { lastIndex, messageText, withText } from './text.ts'
import type { Message } from './types.ts'

/**
 * What the main model is sent: the configuration's `general` prompt when it has one, else the conversation as it
 * came, with the texts as the rails left them, after the configuration's own instructions and what was retrieved.
 */
export function mainMessages(turn: Turn): Message[] {
  const conversation = currentMessages(turn)
  const { config, variables } = turn
  if (config.data.passthrough) return conversation
  const chunks = textOf(variables.relevant_chunks)
  const own = config.prompts.get('general')
  if (own) {
    const history = conversation.filter((m) => m.role === 'user' || m.role === 'assistant')
    return own.render({
      ...variables,
      general_instructions: instructionsOf(turn),
      relevant_chunks: chunks,
      user_input: variables.user_message ?? '',
      chat_history: history,
      history: history
        .map((m) => `${m.role === 'user' ? 'User' : 'Assistant'}: ${messageText(m)}`)
        .join('\n'),
    })
  }
  const system = [instructionsOf(turn), chunks && `Context:\n${chunks}`].filter((t) => t !== '')
  if (system.length === 0) return conversation
  const [first, ...rest] = conversation
  // One system message: many chat templates take no second one.
  if (first?.role === 'system')
    return [{ ...first, content: [...system, messageText(first)].join('\n\n') }, ...rest]
  return [{ role: 'system', content: system.join('\n\n') }, ...conversation]
}

/** The conversation with the user's message and the tools' texts as the rails left them. */
export function currentMessages({ messages, variables }: Turn): Message[] {
  const last = lastIndex(messages, 'user')
  return messages.map((message, i) => {
    if (
      i === last &&
      typeof variables.user_message === 'string' &&
      variables.user_message !== messageText(message)
    )
      return withText(message, variables.user_message)
    return message
  })
}

function instructionsOf(turn: Turn): string {
  const given = turn.config.data.instructions ?? []
  return given
    .filter((i) => i.type === 'general')
    .map((i) => i.content.trim())
    .join('\n\n')
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.trim() : Array.isArray(value) ? value.join('\n').trim() : ''
}
