// SPDX-License-Identifier: Apache-2.0

import { askModel } from '../engine/ask.ts'
import type { RailCall } from '../engine/compiled.ts'
import { endAction } from '../engine/recorder.ts'
import { messageText, withoutReasoning } from '../engine/text.ts'
import type { Message, RailResult } from '../engine/types.ts'
import type { OutputParser, Verdict } from '../prompts/parsers.ts'
import { promptLength, type TaskPrompt } from '../prompts/tasks.ts'

/** The answer of a judge cannot be read, or the judge cannot be given the whole text. */
export class JudgeError extends Error {
  override name = 'JudgeError'
}

export interface Judging {
  call: RailCall
  action: string
  task: string
  prompt: TaskPrompt
  /** Types of models to ask, the first there is. */
  types: string[]
  parser: OutputParser
  values?: Record<string, unknown>
  /** Changes the rendered messages before they are sent. */
  arrange?: (messages: Message[]) => Message[]
}

const JUDGE_TOKENS = 1024

/** Asks a model for a verdict on the text of a rail. Throws JudgeError when there is none to be had. */
export async function judge(judging: Judging): Promise<RailResult> {
  const { call, prompt, parser } = judging
  const { turn, log } = call
  const rendered = prompt.render({ ...promptValues(call), ...judging.values })
  const messages = judging.arrange ? judging.arrange(rendered) : rendered
  const length = promptLength(messages)
  // A judge that sees only a part can be walked around with a long text.
  if (length > prompt.maxLength)
    throw new JudgeError(
      `its prompt has ${length} characters, more than max_length ${prompt.maxLength} of task "${prompt.task}"`,
    )
  const action = log.action(judging.action)
  const answer = await askModel(turn, {
    types: judging.types,
    task: judging.task,
    messages,
    parameters: {
      temperature: turn.config.data.lowest_temperature ?? 0.001,
      max_tokens: prompt.maxTokens ?? JUDGE_TOKENS,
      ...(prompt.stop ? { stop: prompt.stop } : {}),
    },
    signal: call.signal,
    action,
  })
  const said = messageText(answer.choices[0]?.message)
  const verdict = parser(said)
  const result = railResult(verdict)
  endAction(action, actionValue(result))
  if (verdict.verdict === 'unclear')
    throw new JudgeError(
      `the judge's answer does not have its format: ${JSON.stringify(withoutReasoning(said).slice(0, 200))}`,
    )
  return result
}

function railResult({ verdict, categories }: Verdict): RailResult {
  const metadata = categories.length ? { metadata: { policy_violations: categories } } : {}
  return { decision: verdict === 'unsafe' ? 'block' : 'allow', ...metadata }
}

/** What an action's record shows as its return value. */
export function actionValue(result: RailResult): Record<string, unknown> {
  return { decision: result.decision, reason: result.reason ?? null, metadata: result.metadata ?? {} }
}

/** The values that prompts refer to. */
export function promptValues({ turn, stage, text }: RailCall): Record<string, unknown> {
  const { variables, config } = turn
  const isOut = stage === 'output' || stage === 'tool_output'
  const userInput = isOut ? (variables.user_message ?? variables.last_user_message ?? '') : text
  return {
    ...variables,
    user_input: userInput,
    evidence: variables.relevant_chunks ?? '',
    response: text,
    bot_response: isOut ? text : (variables.bot_message ?? ''),
    chat_history: turn.messages.filter((m) => m.role === 'user' || m.role === 'assistant'),
    history: turn.messages
      .filter((m) => m.role === 'user' || m.role === 'assistant')
      .map((m) => `${m.role === 'user' ? 'User' : 'Assistant'}: ${messageText(m)}`)
      .join('\n'),
    reasoning_enabled: config.data.rails?.config?.content_safety?.reasoning?.enabled ?? false,
  }
}
