// SPDX-License-Identifier: Apache-2.0
import type {
  EngineErrorCode,
  EngineEvent,
  GenerateRequest,
  LoadedModel,
  RankRequest,
  TokenizeRequest,
} from './types.ts'

/** How a worker shall load its model. Sizes in tokens for each sequence. */
export interface LoadOptions {
  modelPath: string
  threads: number
  contextSize: number
  sequences: number
  adapterContextSize: number
  adapterSequences: number
  /** Most adapters in memory at once; the one idle longest goes first. */
  maxAdapters: number
  /** Most requests that wait for a free sequence of one model or adapter. */
  maxQueue: number
}

/** From the service to its engine worker. */
export type ToWorker =
  | { t: 'load'; options: LoadOptions }
  | { t: 'generate'; id: number; request: GenerateRequest }
  | { t: 'embed'; id: number; inputs: number[][] }
  | { t: 'rank'; id: number; request: RankRequest }
  | { t: 'tokenize'; id: number; request: TokenizeRequest }
  | { t: 'abort'; id: number }
  | { t: 'unload'; key: string }

/** From the engine worker to the service. */
export type FromWorker =
  | { t: 'progress'; fraction: number }
  | { t: 'loaded'; model: LoadedModel }
  | { t: 'load_failed'; message: string }
  | { t: 'event'; id: number; event: EngineEvent }
  | { t: 'error'; id: number; code: EngineErrorCode; message: string; details: Record<string, number> }
  | { t: 'log'; level: 'info' | 'warn' | 'error'; message: string }
