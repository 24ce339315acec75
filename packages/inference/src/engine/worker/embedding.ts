// SPDX-License-Identifier: Apache-2.0
import { getLlama, type LlamaEmbeddingContext, LlamaLogLevel, type Token } from 'node-llama-cpp'
import type { FromWorker, LoadOptions, ToWorker } from '../protocol.ts'

// The process that embeds: it lives as long as its parent is there, which alone decides when it ends.
process.on('disconnect', () => process.exit(0))
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => undefined)

let context: LlamaEmbeddingContext | undefined
const running = new Set<number>()
const send = (message: FromWorker) => process.send?.(message)

process.on('message', (message: ToWorker) => {
  if (message.t === 'load') void load(message.options)
  else if (message.t === 'embed') void embed(message.id, message.inputs)
  else if (message.t === 'abort') running.delete(message.id)
})

async function load({ modelPath, threads, contextSize }: LoadOptions): Promise<void> {
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
    // One more than the longest input, which the engine wants free, and all of it in one batch, which pooling needs.
    const room = contextSize + 2
    context = await model.createEmbeddingContext({ contextSize: room, batchSize: room, threads })
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

async function embed(id: number, inputs: number[][]): Promise<void> {
  running.add(id)
  try {
    if (!context) throw new Error('the model is not loaded')
    const vectors: string[] = []
    for (const tokens of inputs) {
      const { vector } = await context.getEmbeddingFor(tokens as Token[])
      if (!running.has(id)) return
      vectors.push(Buffer.from(unit(vector).buffer).toString('base64'))
    }
    send({ t: 'event', id, event: { type: 'vectors', vectors } })
  } catch (err) {
    const message = err instanceof Error ? err.message : String(err)
    send({ t: 'error', id, code: 'internal', message, details: {} })
  } finally {
    running.delete(id)
  }
}

function unit(vector: readonly number[]): Float32Array {
  const length = Math.hypot(...vector) || 1
  return Float32Array.from(vector, (value) => value / length)
}
