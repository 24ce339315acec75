// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import type { Message } from '../engine/types.ts'
import type { Conversation } from './dialog.ts'
import { newDialogState } from './machine.ts'

/** How much of the conversations of a configuration is remembered. */
export interface MemoryLimits {
  conversations: number
  /** Characters of all conversations, and of one. */
  total: number
  each: number
}

const LIMITS: MemoryLimits = { conversations: 1000, total: 16_000_000, each: 250_000 }
/** Of what was said so far a model is shown this much, the last of it. */
const MAX_HISTORY = 20_000

/**
 * Where the last conversations stand, by what was said in them, so that requests need no session. One that is not
 * remembered, because it is old, too long or was held elsewhere, goes on from what was said: flows begin anew.
 */
export class Memory {
  private readonly kept = new Map<string, string>()
  private readonly limits: MemoryLimits
  private size = 0

  constructor(limits: Partial<MemoryLimits> = {}) {
    this.limits = { ...LIMITS, ...limits }
  }

  recall(messages: readonly Message[]): Conversation {
    const found = this.kept.get(keyOf(messages))
    return found === undefined ? { state: newDialogState(), history: historyOf(messages) } : JSON.parse(found)
  }

  keep(messages: readonly Message[], conversation: Conversation): void {
    const key = keyOf(messages)
    const { state, history } = conversation
    const text = JSON.stringify({ state, history: lastOf(history) })
    this.forget(key)
    if (text.length > this.limits.each) return
    this.kept.set(key, text)
    this.size += text.length
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= this.limits.conversations && this.size <= this.limits.total) return
      this.forget(oldest)
    }
  }

  private forget(key: string): void {
    this.size -= this.kept.get(key)?.length ?? 0
    this.kept.delete(key)
  }
}

function keyOf(messages: readonly Message[]): string {
  const said = messages.filter(({ role }) => role === 'user' || role === 'assistant')
  const hash = createHash('sha256')
  for (const { role, content } of said) hash.update(JSON.stringify([role, content]))
  return hash.digest('base64')
}

function historyOf(messages: readonly Message[]): string {
  const said = messages.filter(({ role }) => role === 'user' || role === 'assistant')
  return lastOf(
    said.map(({ role, content }) => `${role === 'user' ? 'user' : 'bot'} "${wordsOf(content)}"\n`).join(''),
  )
}

function wordsOf(content: unknown): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return ''
  return content.flatMap((part) => (typeof part?.text === 'string' ? [part.text] : [])).join(' ')
}

/** The end of a history, from the beginning of a line on. */
function lastOf(history: string): string {
  if (history.length <= MAX_HISTORY) return history
  const end = history.slice(-MAX_HISTORY)
  return end.slice(end.indexOf('\n') + 1)
}
