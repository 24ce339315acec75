// SPDX-License-Identifier: Apache-2.0
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { AdapterFormatError, type BaseShape, convertAdapter } from './convert.ts'

interface Job {
  config: string
  weights: Uint8Array
  base: BaseShape
}

type Answer = { gguf: Uint8Array } | { refused: string }

/** convertAdapter in a thread of its own: a large adapter must not hold up the requests of this process. */
export function convertInThread(config: string, weights: Uint8Array, base: BaseShape): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const job: Job = { config, weights, base }
    const worker = new Worker(new URL(import.meta.url), { workerData: job, execArgv: ['--no-warnings'] })
    worker.once('message', (answer: Answer) => {
      if ('gguf' in answer) resolve(answer.gguf)
      else reject(new AdapterFormatError(answer.refused))
    })
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('the conversion ended without an answer')))
  })
}

if (!isMainThread && parentPort && workerData?.weights) {
  const { config, weights, base } = workerData as Job
  let answer: Answer
  try {
    answer = { gguf: convertAdapter(config, weights, base) }
  } catch (err) {
    answer = { refused: err instanceof Error ? err.message : String(err) }
  }
  parentPort.postMessage(answer)
}
