// SPDX-License-Identifier: Apache-2.0
import type { LlamaEmbeddingContext, Token } from 'node-llama-cpp'
import type { LoadOptions, ToWorker } from '../protocol.ts'
import { livesWithParent, loadWhole, send } from './whole-inputs.ts'

// The process that embeds.
livesWithParent()

let context: LlamaEmbeddingContext | undefined
const running = new Set<number>()

process.on('message', (message: ToWorker) => {
  if (message.t === 'load') void load(message.options)
  else if (message.t === 'embed') void embed(message.id, message.inputs)
  else if (message.t === 'abort') running.delete(message.id)
})

async function load(options: LoadOptions): Promise<void> {
  await loadWhole(options, async (model) => {
    // One more than the longest input, which the engine wants free, and all of it in one batch, which pooling needs.
    const room = options.contextSize + 2
    const { threads } = options
    context = await model.createEmbeddingContext({ contextSize: room, batchSize: room, threads })
  })
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
