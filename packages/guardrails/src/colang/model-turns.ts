// SPDX-License-Identifier: Apache-2.0
import type { DialogTurn, Message } from '../engine/types.ts'
import { evaluate } from './evaluate.ts'
import { ExpressionError, parseExpression, type Value } from './expression.ts'

/** Examples for a model, the most similar ones last. */
export interface Example {
  text: string
  name: string
}

const STRAIGHT = { temperature: 0.001 }
const BOT_FALLBACK = 'general response'

/** Asks the main model which intent the user's last words have. */
export async function askUserIntent(turn: DialogTurn, examples: Example[], history: string): Promise<string> {
  const intents = [...new Set(examples.map((one) => one.name))]
  const shown = examples.map(({ text, name }) => `user "${text}"\n  ${name}`).join('\n\n')
  const answer = await turn.ask({
    task: 'generate_user_intent',
    messages: [
      system(
        'Name the intent of the last user message, in the words of the examples where one fits. ' +
          `Answer with the intent alone.\n\nIntents: ${intents.join(', ')}\n\nExamples:\n${shown}`,
      ),
      { role: 'user', content: `${history}\n\nIntent of the last user message:` },
    ],
    values: { examples: shown, potential_user_intents: intents.join(', ') },
    parameters: STRAIGHT,
  })
  return readUserIntent(answer)
}

/** The intent in a model's answer: its first line without what models put around it. */
export function readUserIntent(answer: string): string {
  const line = firstLine(answer).replace(/^(?:user intent:|intent:|user )\s*/i, '')
  return unquoted(line) || 'unknown message'
}

/** Asks the main model what the bot should do next, and reads it as a bot intent. */
export async function askNextStep(
  turn: DialogTurn,
  { flows, intent, history }: { flows: string[]; intent: string; history: string },
): Promise<string> {
  const shown = flows.join('\n\n')
  const answer = await turn.ask({
    task: 'generate_next_steps',
    messages: [
      system(
        'Say what the bot does next, as one line "bot <what it expresses>", like the examples do. ' +
          `Answer with that line alone.\n\nExamples:\n${shown}`,
      ),
      { role: 'user', content: `${history}\n\nThe user's intent is: ${intent}\nNext line:` },
    ],
    values: { examples: shown },
    parameters: STRAIGHT,
  })
  return readBotIntent(answer)
}

/** The bot intent in a model's answer; a line that is none is a general response. */
export function readBotIntent(answer: string): string {
  const line = firstLine(answer).replace(/^bot intent:\s*/i, 'bot ')
  if (!line.startsWith('bot ')) return BOT_FALLBACK
  return (line.slice(4).split(/["“,]/)[0] ?? '').trim() || BOT_FALLBACK
}

/** Asks the main model for the words of a bot intent. */
export async function askBotMessage(
  turn: DialogTurn,
  {
    intent,
    examples,
    history,
    instructions,
  }: { intent: string; examples: Example[]; history: string; instructions?: string },
): Promise<string> {
  const shown = examples.map(({ text, name }) => `bot ${name}\n  "${text}"`).join('\n\n')
  const chunks = turn.variables.relevant_chunks
  const context = typeof chunks === 'string' && chunks !== '' ? `\n\nWhat is known:\n${chunks}` : ''
  const answer = await turn.ask({
    task: 'generate_bot_message',
    messages: [
      system(
        `Write what the bot says next. It should: ${intent}.${instructions ? ` ${instructions}.` : ''} ` +
          `Answer with the words alone.${context}${shown ? `\n\nExamples:\n${shown}` : ''}`,
      ),
      { role: 'user', content: `${history}\n\nbot ${intent}` },
    ],
    values: { examples: shown, relevant_chunks: chunks ?? '' },
  })
  return readBotMessage(answer)
}

/** The words in a model's answer, without a label and the quotes around them. */
export function readBotMessage(answer: string): string {
  const text = answer.trim().replace(/^bot message:\s*/i, '')
  return /^".*"$/s.test(text) ? text.slice(1, -1) : text.replace(/^"|"$/g, '')
}

/** Asks the main model for the value of a variable. */
export async function askValue(
  turn: DialogTurn,
  { variable, instructions, history }: { variable: string; instructions?: string; history: string },
): Promise<Value> {
  const answer = await turn.ask({
    task: 'generate_value',
    messages: [
      system(
        `Give the value of $${variable} for this conversation${instructions ? `: ${instructions}` : ''}. Answer with one ` +
          'value: a text in double quotes, a number, True, False, None, or a list of these.',
      ),
      { role: 'user', content: `${history}\n\n$${variable} =` },
    ],
    values: { instructions: instructions ?? '', var_name: variable },
    parameters: STRAIGHT,
  })
  return readValue(answer, variable)
}

/** The value in the first line of a model's answer; a line that is no value is taken as a text. */
export function readValue(answer: string, variable: string): Value {
  const line = firstLine(answer)
    .replace(new RegExp(`^\\$?${variable}\\s*=\\s*`), '')
    .replace(/;$/, '')
  try {
    return evaluate(parseExpression(line), {})
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error
    return line
  }
}

const system = (content: string): Message => ({ role: 'system', content })

function firstLine(answer: string): string {
  const lines = answer.split('\n').map((line) => line.trim())
  return lines.find((line) => line !== '' && !line.startsWith('#')) ?? ''
}

const unquoted = (text: string) => text.replace(/^["'`](.*)["'`]$/, '$1').trim()
