// SPDX-License-Identifier: Apache-2.0
import type { Message } from './types.ts'

/** The text of a message: its content, or the text parts of it, one a line. */
export function messageText(message: Message | undefined): string {
  const content = message?.content
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content
    .map((part) => (typeof part === 'string' ? part : typeof part?.text === 'string' ? part.text : ''))
    .filter((text) => text !== '')
    .join('\n')
}

/** The message with another text; parts that are not text, such as images, stay. */
export function withText(message: Message, text: string): Message {
  if (!Array.isArray(message.content)) return { ...message, content: text }
  const others = message.content.filter((part) => typeof part === 'object' && part?.type !== 'text')
  return { ...message, content: [{ type: 'text', text }, ...others] }
}

/** Index of the last message of a role, or -1. */
export function lastIndex(messages: readonly Message[], role: string): number {
  return messages.findLastIndex((m) => m.role === role)
}

const THINKING = /^\s*<think(?:ing)?>[\s\S]*?<\/think(?:ing)?>\s*/i

/** An answer without the reasoning that some models put before it in think tags. */
export function withoutReasoning(text: string): string {
  const answer = text.replace(THINKING, '')
  // a chat template may open the tag itself, so that only its end is in the answer
  const end = answer.search(/<\/think(?:ing)?>/i)
  return end < 0 ? answer : answer.slice(end).replace(/^<\/think(?:ing)?>\s*/i, '')
}

/** The reasoning part of an answer, '' when there is none; what is left of it is withoutReasoning. */
export function reasoningOf(text: string): string {
  return text.slice(0, text.length - withoutReasoning(text).length)
}
