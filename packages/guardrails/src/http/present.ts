// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import type { GenerationOptions } from '@open-nemo/contract/guardrails/schemas.ts'
import type { Turn } from '../engine/compiled.ts'
import type { TurnOutcome } from '../engine/engine.ts'
import type { RailRecord } from '../engine/recorder.ts'
import type { Block } from '../engine/run-rails.ts'

type Json = Record<string, unknown>

export const unixSeconds = () => Math.floor(Date.now() / 1000)
export const newChatId = () => `chatcmpl-${randomUUID()}`
const NO_USAGE = { completion_tokens: 0, prompt_tokens: 0, total_tokens: 0 }

/** Name of the model in answers that no model gave. */
const NO_MODEL = '-'

export interface Presentation {
  outcome: TurnOutcome
  ids: string[]
  options: GenerationOptions | undefined
  returnChoice: boolean
}

/** A chat answer: the main model's, or the recorded shape of a blocked one. */
export function presentChat(on: Presentation): Json {
  const { outcome } = on
  const { answer, text } = outcome
  const data = guardrailsData(on)
  const head = {
    id: answer?.id ?? newChatId(),
    object: 'chat.completion',
    created: answer?.created ?? unixSeconds(),
    model: answer?.model ?? NO_MODEL,
  }
  const choices: Json[] = answer
    ? answer.choices.map((choice, index) => ({ ...choice, index }))
    : [{ index: 0, finish_reason: 'stop', logprobs: null, message: spoken(outcome, text) }]
  if (on.returnChoice)
    choices.push({
      index: choices.length,
      finish_reason: 'stop',
      logprobs: null,
      message: { role: 'guardrails_data', content: JSON.stringify(data) },
    })
  const system_fingerprint = answer?.system_fingerprint
  return {
    ...head,
    choices,
    usage: answer?.usage ?? NO_USAGE,
    ...(system_fingerprint ? { system_fingerprint } : {}),
    guardrails_data: data,
  }
}

/** The same as a text completion. */
export function presentCompletion(on: Presentation): Json {
  const { answer, text } = on.outcome
  const texts = answer ? answer.choices.map((c) => String(c.message.content ?? '')) : [text]
  const finish = (i: number) => answer?.choices[i]?.finish_reason ?? 'stop'
  return {
    id: `cmpl-${randomUUID()}`,
    object: 'text_completion',
    created: answer?.created ?? unixSeconds(),
    model: answer?.model ?? NO_MODEL,
    choices: texts.map((t, index) => ({ index, text: t, finish_reason: finish(index), logprobs: null })),
    usage: answer?.usage ?? NO_USAGE,
    guardrails_data: guardrailsData(on),
  }
}

/** With enable_rails_exceptions a refusal is an exception that says which rail it was. */
export function spoken(
  { turn, block, dialog }: Pick<TurnOutcome, 'turn' | 'block' | 'dialog'>,
  text: string,
): Json {
  const exception =
    dialog?.exception ?? (block && turn.config.data.enable_rails_exceptions ? exceptionOf(block) : undefined)
  if (!exception) return { role: 'assistant', content: text }
  return { role: 'exception', content: JSON.stringify(exception) }
}

const EXCEPTIONS = {
  input: 'InputRailException',
  output: 'OutputRailException',
  retrieval: 'RetrievalRailException',
  tool_input: 'ToolInputRailException',
  tool_output: 'ToolOutputRailException',
}

function exceptionOf({ rail, stage }: Block) {
  const what = stage === 'output' || stage === 'tool_output' ? 'Output' : 'Input'
  return { type: EXCEPTIONS[stage], message: `${what} not allowed. The rail '${rail}' blocked it.` }
}

/** The `guardrails_data` of an answer. */
export function guardrailsData(on: Pick<Presentation, 'outcome' | 'ids' | 'options'>): Json {
  const { outcome, ids, options } = on
  const { turn } = outcome
  return {
    config_ids: ids,
    ...(options?.llm_output ? { llm_output: outcome.answer ?? {} } : {}),
    ...(options?.output_vars ? { output_data: outputData(turn, options.output_vars) } : {}),
    ...(wantsLog(options) ? { log: generationLog(turn, options?.log, outcome) } : {}),
    // A refusal because a rail's model is down is no judgement of the text, and says so.
    ...(turn.failures.length ? { failed_rails: turn.failures } : {}),
  }
}

function wantsLog(options: GenerationOptions | undefined): boolean {
  return Object.values(options?.log ?? {}).some((v) => v === true)
}

function outputData(turn: Turn, wanted: boolean | string[]): Json {
  if (wanted === true) return turn.variables
  return Object.fromEntries(
    (wanted || []).map((name) => [name, turn.variables[name.replace(/^\$/, '')] ?? null]),
  )
}

/** The log of a turn with what was asked for; the statistics are always in it. */
export function generationLog(
  turn: Turn,
  wanted: GenerationOptions['log'],
  outcome?: Pick<TurnOutcome, 'block' | 'text' | 'dialog'>,
): Json {
  const raw = wanted?.llm_calls === true
  return {
    activated_rails: wanted?.activated_rails ? turn.log.rails.map((r) => presentRail(r, raw)) : null,
    stats: turn.log.stats(),
    llm_calls: raw ? turn.log.llmCalls() : null,
    internal_events: wanted?.internal_events ? (outcome?.dialog?.events ?? []) : null,
    colang_history: wanted?.colang_history && outcome ? history(turn, outcome) : null,
  }
}

/** Calls inside a rail are shown without the models' raw answers unless calls were asked for. */
function presentRail(rail: RailRecord, raw: boolean): Json {
  if (raw) return { ...rail }
  const executed_actions = rail.executed_actions.map((action) => ({
    ...action,
    llm_calls: action.llm_calls.map((call) => ({ ...call, raw_response: null })),
  }))
  return { ...rail, executed_actions }
}

function history(
  turn: Turn,
  { block, text, dialog }: Pick<TurnOutcome, 'block' | 'text' | 'dialog'>,
): string {
  if (dialog?.history) return dialog.history
  const quoted = (value: unknown) =>
    `"${String(value ?? '')
      .replaceAll('"', '\\"')
      .replaceAll('\n', '\\n')}"`
  if (block)
    return `user ${quoted(turn.variables.last_user_message)}\nbot refuse to respond\n  ${quoted(text)}\nbot stop\n`
  return `user ${quoted(turn.variables.last_user_message)}\nbot respond\n  ${quoted(text)}\n`
}
