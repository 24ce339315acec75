// SPDX-License-Identifier: Apache-2.0
import { runAction } from './actions.ts'
import { askModel } from './ask.ts'
import type { RailCall, Turn } from './compiled.ts'
import { currentMessages, mainMessages } from './main-prompt.ts'
import { endAction, type RailLog } from './recorder.ts'
import { messageText } from './text.ts'
import type { DialogEngine, DialogTurn, RailResult, Stage } from './types.ts'

/** Runs a flow of the user's own as a rail; what it sets as the text of its stage is the new text. */
export async function runColangRail(dialog: DialogEngine, flow: string, call: RailCall): Promise<RailResult> {
  const { turn, stage, text } = call
  const variable = STAGE_VARIABLES[stage]
  turn.variables[variable] = text
  const result = await dialog.runRail(flow, stage, dialogTurn(turn, call.log, call.signal, stage))
  const now = turn.variables[variable]
  if (result.decision === 'allow' && typeof now === 'string' && now !== text)
    return { ...result, decision: 'transform', text: now }
  return result
}

/** The variable that holds the text of each stage. */
export const STAGE_VARIABLES: Record<Stage, string> = {
  input: 'user_message',
  output: 'bot_message',
  retrieval: 'relevant_chunks',
  tool_input: 'tool_message',
  tool_output: 'tool_calls_text',
}

/** What a dialog or a flow is given of the turn. */
export function dialogTurn(
  turn: Turn,
  log: RailLog,
  signal: AbortSignal,
  stage: Stage = 'input',
): DialogTurn {
  return {
    messages: currentMessages(turn),
    variables: turn.variables,
    signal,
    async ask({ task, messages, values, parameters }) {
      const own = turn.config.prompts.get(task)
      const rendered = own ? own.render({ ...turn.variables, ...values }) : messages
      const action = log.action(task)
      const answer = await askModel(turn, {
        types: [task],
        task,
        messages: rendered,
        parameters: { temperature: turn.config.data.lowest_temperature ?? 0.001, ...parameters },
        signal,
        action,
      })
      const text = messageText(answer.choices[0]?.message)
      endAction(action, text)
      return text
    },
    async answer() {
      const action = log.action('generate_bot_message')
      const { n: _, ...parameters } = turn.parameters
      const question = {
        types: ['main'],
        task: 'general',
        messages: mainMessages(turn),
        parameters,
        signal,
        action,
      }
      const text = messageText((await askModel(turn, question)).choices[0]?.message)
      endAction(action, text)
      return text
    },
    async execute(name, parameters) {
      const action = log.action(name, parameters)
      const value = await runAction({ turn, log, signal, stage, name, parameters })
      endAction(action, value)
      return value
    },
    async embed(texts) {
      if (!turn.services.embed) throw new Error('no embedder is given')
      return turn.services.embed(texts, signal)
    },
    runRail(flow) {
      const rail = turn.config.railNamed(flow, stage)
      if (!rail) return undefined
      return rail.run({ text: stageText(turn, stage), stage, turn, log, signal })
    },
    decide: (decision) => log.decide(decision),
  }
}

/** The text that a stage is about, as the turn has it now. */
export function stageText(turn: Turn, stage: Stage): string {
  const value = turn.variables[STAGE_VARIABLES[stage]]
  return typeof value === 'string' ? value : Array.isArray(value) ? value.join('\n') : ''
}
