// SPDX-License-Identifier: Apache-2.0
import type { InferenceConfig } from '../config.ts'
import type { LoadOptions } from './protocol.ts'

/** How a worker loads a model that reads whole inputs, one after another, and has no adapters. */
export function wholeInputs(
  config: Pick<InferenceConfig, 'NEMO_ENGINE_THREADS' | 'NEMO_ENGINE_QUEUE'>,
  modelPath: string,
  contextSize: number,
): LoadOptions {
  return {
    modelPath,
    threads: config.NEMO_ENGINE_THREADS,
    contextSize,
    sequences: 1,
    adapterContextSize: contextSize,
    adapterSequences: 1,
    maxAdapters: 1,
    maxQueue: config.NEMO_ENGINE_QUEUE,
  }
}
