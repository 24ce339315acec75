// SPDX-License-Identifier: Apache-2.0
import type { ConfigData } from '@open-nemo/contract/guardrails/config-data.ts'
import type { Carrier } from '@open-nemo/runtime'
import type { ModelEndpoint, ModelSettings } from '../models/resolve.ts'
import type { TaskPrompt } from '../prompts/tasks.ts'
import type { RegexGuard } from '../regex/guard.ts'
import type { RailLog, TurnLog } from './recorder.ts'
import type { DialogEngine, Message, RailResult, Stage, Variables } from './types.ts'

/** A rail of a configuration, ready to run. */
export interface Rail {
  /** As the configuration writes it, parameters included. */
  flow: string
  stage: Stage
  /** Whether it may ask a model; rails that do not are deterministic. */
  usesModel: boolean
  /** Whether it may change the text, so that nothing may run beside it. */
  transforms: boolean
  /** What happens when it cannot decide. */
  onError: 'block' | 'allow'
  timeoutMs: number
  run(call: RailCall): Promise<RailResult>
}

/** What a rail is given when it runs. */
export interface RailCall {
  /** What the stage is about: the user's message, the answer, the chunks, the tool's text. */
  text: string
  stage: Stage
  turn: Turn
  log: RailLog
  signal: AbortSignal
}

export interface StreamingOptions {
  enabled: boolean
  chunkSize: number
  contextSize: number
  streamFirst: boolean
}

/** A configuration that was checked and made ready; stateless, one serves all requests. */
export interface CompiledConfig {
  data: ConfigData
  models: ReadonlyMap<string, ModelEndpoint>
  prompts: ReadonlyMap<string, TaskPrompt>
  rails: Readonly<Record<Stage, readonly Rail[]>>
  parallel: Readonly<Record<Stage, boolean>>
  /** Whether the main model is asked while the input rails run. */
  speculative: boolean
  streaming: StreamingOptions
  dialog: DialogEngine | undefined
  /** A rail by its flow, for flows that run the engine's own; undefined when there is none of that name. */
  railNamed(flow: string, stage: Stage): Rail | undefined
  /** The text of a bot message by its name. */
  botMessage(intent: string): string
  /** Finds what the knowledge base says about a text; '' when there is none. */
  retrieve(query: string): string
}

/** What the engine needs from outside. */
export interface EngineServices {
  fetch: typeof globalThis.fetch
  models: ModelSettings
  regex: RegexGuard
  /** Time that a rail has unless the configuration says otherwise. */
  railTimeoutMs: number
  /** Perplexity of a text, in place of the completions API with echoed log-probabilities. */
  perplexity?: ((text: string, signal: AbortSignal) => Promise<number>) | undefined
  /** Vectors for dialogs. */
  embed?: ((texts: string[], signal: AbortSignal) => Promise<number[][]>) | undefined
  /** Finds names and places in a text, in place of the built-in word lists. */
  ner?: ((text: string, entities: string[], signal: AbortSignal) => Promise<NerEntity[]>) | undefined
  /** Told of rails that could not decide. */
  onRailFailure?: ((failure: { rail: string; reason: string }) => void) | undefined
}

export interface NerEntity {
  start: number
  end: number
  entity_type: string
  score: number
}

/** One request on its way through the rails. */
export interface Turn {
  config: CompiledConfig
  services: EngineServices
  messages: Message[]
  variables: Variables
  /** The request's model and key, and its sampling parameters for the main model. */
  model: string | undefined
  modelKey: string | undefined
  parameters: Record<string, unknown>
  log: TurnLog
  signal: AbortSignal
  /** Rails that could not decide, with why. */
  failures: { rail: string; reason: string }[]
  /** The request's trace: rails of a streamed answer run when it is read, outside the request's span. */
  trace?: Carrier
}
