// SPDX-License-Identifier: Apache-2.0
import type { ConfigData } from '@open-nemo/contract/guardrails/config-data.ts'
import type { DialogEngine } from '../engine/types.ts'

export const REFUSAL = 'refuse to respond'
export const INTERNAL_ERROR = 'inform internal error occurred'

/** What the bot says where the configuration does not say otherwise. The refusal is the wire's own. */
const DEFAULTS: Record<string, string> = {
  [REFUSAL]: "I'm sorry, I can't respond to that.",
  'inform answer unknown': "I don't know the answer to that.",
  'inform answer prone to hallucination':
    'This answer may not be accurate; please check it with another source.',
  [INTERNAL_ERROR]: "I'm sorry, an internal error has occurred.",
}

/** The texts of bot messages by name: Colang files first, then `bot_messages`, then the engine's own. */
export function botMessages(data: ConfigData, dialog: DialogEngine | undefined): (intent: string) => string {
  return (intent) =>
    dialog?.botMessages.get(intent)?.[0] ??
    data.bot_messages?.[intent]?.[0] ??
    DEFAULTS[intent] ??
    DEFAULTS[REFUSAL] ??
    ''
}
