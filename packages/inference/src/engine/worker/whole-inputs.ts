// SPDX-License-Identifier: Apache-2.0
import { getLlama, LlamaLogLevel, type LlamaModel } from 'node-llama-cpp'
import type { FromWorker, LoadOptions } from '../protocol.ts'

// What the workers have in common that take inputs whole and generate nothing: those that embed and rank.

export const send = (message: FromWorker) => process.send?.(message)

/** Lets this process live as long as its parent is there, which alone decides when it ends. */
export function livesWithParent(): void {
  process.on('disconnect', () => process.exit(0))
  process.on('SIGINT', () => undefined)
  process.on('SIGTERM', () => undefined)
}

/** Loads a model, lets `prepare` make its context, and tells the parent how it went. */
export async function loadWhole(
  { modelPath, threads, contextSize }: LoadOptions,
  prepare: (model: LlamaModel) => Promise<void>,
): Promise<void> {
  try {
    const llama = await getLlama({
      gpu: false,
      build: 'never',
      maxThreads: threads,
      logLevel: LlamaLogLevel.error,
      logger: (_level, message) => send({ t: 'log', level: 'warn', message: message.trim() }),
      progressLogs: false,
    })
    const model = await llama.loadModel({ modelPath, gpuLayers: 0 })
    await prepare(model)
    send({
      t: 'loaded',
      model: {
        contextSize,
        trainContextSize: model.trainContextSize,
        sequences: 1,
        bos: model.tokens.bosString ?? undefined,
        eos: model.tokens.eosString ?? undefined,
        stateBytes: 0,
        shape: {
          architecture: model.fileInfo.metadata.general.architecture,
          layers: 0,
          heads: 0,
          kvHeads: 0,
        },
      },
    })
  } catch (err) {
    send({ t: 'load_failed', message: err instanceof Error ? err.message : String(err) })
  }
}
