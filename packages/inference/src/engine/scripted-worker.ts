// SPDX-License-Identifier: Apache-2.0
import type { FromWorker, ToWorker } from './protocol.ts'

// Stands in for the engine's worker in tests of its supervisor: the prompt says what to do.
const send = (message: FromWorker) => process.send?.(message)
const shape = { architecture: 'llama', layers: 1, heads: 1, kvHeads: 1 }

process.on('disconnect', () => process.exit(0))
process.on('message', (message: ToWorker) => {
  if (message.t === 'load') {
    if (message.options.modelPath === 'broken') return send({ t: 'load_failed', message: 'no such weights' })
    return send({
      t: 'loaded',
      model: {
        contextSize: 8,
        trainContextSize: 8,
        sequences: 1,
        bos: undefined,
        eos: undefined,
        stateBytes: 1,
        shape,
      },
    })
  }
  if (message.t === 'abort') return send({ t: 'log', level: 'info', message: `abort ${message.id}` })
  if (message.t !== 'generate') return
  const { id, request } = message
  const text = 'text' in request.prompt ? request.prompt.text : ''
  send({ t: 'event', id, event: { type: 'start', promptTokens: 1, cachedTokens: 0 } })
  if (text === 'crash') process.abort()
  if (text === 'hang') return
  if (text === 'fail') return send({ t: 'error', id, code: 'busy', message: 'full', details: { waiting: 3 } })
  send({ t: 'event', id, event: { type: 'text', text } })
  send({ t: 'event', id, event: { type: 'end', finish: 'stop', completionTokens: 1 } })
})
