// SPDX-License-Identifier: Apache-2.0
import type { ChatAnswer } from '../models/client.ts'

/** One call to a model, as `log.llm_calls` shows it. Times are seconds. */
export interface LlmCallRecord {
  task: string
  duration: number
  total_tokens: number
  prompt_tokens: number
  completion_tokens: number
  started_at: number
  finished_at: number
  id: string
  prompt: string
  completion: string
  raw_response: ChatAnswer | null
  llm_model_name: string
}

export interface ActionRecord {
  action_name: string
  action_params: Record<string, unknown>
  return_value: unknown
  llm_calls: LlmCallRecord[]
  started_at: number
  finished_at: number | null
  duration: number | null
}

/** One rail that ran, as `log.activated_rails` shows it. */
export interface RailRecord {
  type: string
  name: string
  decisions: string[]
  executed_actions: ActionRecord[]
  stop: boolean
  additional_info: Record<string, unknown> | null
  started_at: number
  finished_at: number | null
  duration: number | null
}

/** Unix time in seconds, with the resolution of the monotonic clock. */
export const seconds = () => (performance.timeOrigin + performance.now()) / 1000

/** What a rail writes while it runs. */
export class RailLog {
  readonly record: RailRecord
  constructor(type: string, name: string) {
    const now = seconds()
    this.record = {
      type,
      name,
      decisions: [],
      executed_actions: [],
      stop: false,
      additional_info: null,
      started_at: now,
      finished_at: null,
      duration: null,
    }
  }

  decide(decision: string): void {
    this.record.decisions.push(decision)
  }

  /** Starts an action; calls to models made during it are logged under it. */
  action(name: string, params: Record<string, unknown> = {}): ActionRecord {
    this.decide(`execute ${name}`)
    const action: ActionRecord = {
      action_name: name,
      action_params: params,
      return_value: null,
      llm_calls: [],
      started_at: seconds(),
      finished_at: null,
      duration: null,
    }
    this.record.executed_actions.push(action)
    return action
  }

  end(args: { stop: boolean; info?: Record<string, unknown> | undefined }): void {
    const { record } = this
    record.stop = args.stop
    if (args.info) record.additional_info = { ...record.additional_info, ...args.info }
    record.finished_at = seconds()
    record.duration = record.finished_at - record.started_at
  }
}

/** Ends an action with what it returned. */
export function endAction(action: ActionRecord, value: unknown): void {
  action.return_value = value
  action.finished_at = seconds()
  action.duration = action.finished_at - action.started_at
}

/** Everything a turn did. */
export class TurnLog {
  readonly rails: RailRecord[] = []
  readonly started = seconds()

  start(type: string, name: string): RailLog {
    const log = new RailLog(type, name)
    this.rails.push(log.record)
    return log
  }

  llmCalls(): LlmCallRecord[] {
    return this.rails.flatMap((r) => r.executed_actions.flatMap((a) => a.llm_calls))
  }

  stats(): Record<string, number | null> {
    const calls = this.llmCalls()
    const sum = (pick: (c: LlmCallRecord) => number) => calls.reduce((total, c) => total + pick(c), 0)
    return {
      input_rails_duration: this.#span('input'),
      dialog_rails_duration: this.#span('dialog'),
      generation_rails_duration: this.#span('generation'),
      output_rails_duration: this.#span('output'),
      total_duration: seconds() - this.started,
      llm_calls_duration: sum((c) => c.duration),
      llm_calls_count: calls.length,
      llm_calls_total_prompt_tokens: sum((c) => c.prompt_tokens),
      llm_calls_total_completion_tokens: sum((c) => c.completion_tokens),
      llm_calls_total_tokens: sum((c) => c.total_tokens),
    }
  }

  // From the first start to the last end, since rails may run side by side.
  #span(type: string): number | null {
    const rails = this.rails.filter((r) => r.type === type && r.finished_at !== null)
    if (rails.length === 0) return null
    const start = Math.min(...rails.map((r) => r.started_at))
    return Math.max(...rails.map((r) => r.finished_at ?? start)) - start
  }
}
