// SPDX-License-Identifier: Apache-2.0
import type { ConfigData } from '@open-nemo/contract/guardrails/config-data.ts'
import type { ColangSource, DialogEngine } from '../engine/types.ts'

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

/**
 * Colang of the engine's own messages, for flows that say them without a definition of their own: those that
 * neither the files nor `bot_messages` define.
 */
export function ownMessages(data: ConfigData, sources: readonly ColangSource[]): ColangSource {
  const isDefined = (intent: string) => {
    const definition = new RegExp(`^define bot ${intent}\\s*$`, 'm')
    return sources.some(({ text }) => definition.test(text))
  }
  const texts = { ...DEFAULTS, ...firstTexts(data) }
  const missing = Object.entries(texts).filter(([intent]) => !isDefined(intent))
  const text = missing.map(([intent, said]) => `define bot ${intent}\n  ${JSON.stringify(said)}\n`).join('\n')
  return { file: 'bot_messages', text }
}

const NAME = /^[\w ,'-]+$/
function firstTexts(data: ConfigData): Record<string, string> {
  const named = Object.entries(data.bot_messages ?? {}).filter(([intent]) => NAME.test(intent))
  return Object.fromEntries(named.flatMap(([intent, [said]]) => (said === undefined ? [] : [[intent, said]])))
}

/** Colang of `user_messages`, as the toolkit writes the canonical forms of a configuration given as data. */
export function userMessages(data: ConfigData): ColangSource {
  const named = Object.entries(data.user_messages ?? {}).filter(([intent]) => NAME.test(intent))
  const lines = named.map(([intent, texts]) =>
    [`define user ${intent}`, ...texts.map((text) => `  ${JSON.stringify(text)}`), ''].join('\n'),
  )
  return { file: 'user_messages', text: lines.join('\n') }
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
