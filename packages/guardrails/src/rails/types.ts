// SPDX-License-Identifier: Apache-2.0
import type { ConfigData } from '@open-nemo/contract/guardrails/config-data.ts'
import type { EngineServices, RailCall } from '../engine/compiled.ts'
import type { RailResult, Stage } from '../engine/types.ts'
import type { TaskPrompt } from '../prompts/tasks.ts'

/** What a rail is prepared from, once for a configuration. */
export interface Preparation {
  stage: Stage
  /** `model` of `content safety check input $model=content_safety`. */
  params: Record<string, string>
  data: ConfigData
  services: EngineServices
  /** The prompt of a task. Throws when the configuration has none. */
  prompt(task: string): TaskPrompt
  /** Throws when the configuration has no model of this type. */
  needModel(type: string): void
}

/** A kind of rail that comes with the engine. */
export interface RailKind {
  /** Name of its flow, without parameters. */
  name: string
  stages: readonly Stage[]
  /** Name of the action, in logs and for flows of the user that execute it. */
  action: string
  usesModel: boolean
  transforms?: boolean
  /** Makes the rail ready. Throws with words that say what the configuration lacks. */
  prepare(on: Preparation): (call: RailCall) => Promise<RailResult>
}

export const ALLOW: RailResult = { decision: 'allow' }

/** The stages whose text the user, a tool or a document sends in, and those whose text goes out. */
export const INCOMING: readonly Stage[] = ['input', 'tool_input']
export const OUTGOING: readonly Stage[] = ['output', 'tool_output']
