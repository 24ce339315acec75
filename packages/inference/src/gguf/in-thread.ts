// SPDX-License-Identifier: Apache-2.0
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { writeTunedBertGguf } from '../embedding/bert-gguf.ts'
import type { WeightType } from './quantize.ts'
import { WeightsFormatError, writeWholeGguf } from './whole.ts'

/** Weights of a model that generates text, or of one that embeds it, whose base is a folder. */
type Job =
  | { base: string; weights: string; to: string; type: WeightType }
  | { folder: string; weights: string; to: string }

type Answer = { refused: string; isFinal: boolean } | { done: true }

/** The conversion in a thread of its own: it computes for seconds, and requests go on meanwhile. */
export function writeInThread(job: Job): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), {
      workerData: { wholeGguf: job },
      execArgv: ['--no-warnings'],
    })
    worker.once('message', (answer: Answer) => {
      if ('done' in answer) resolve()
      else reject(answer.isFinal ? new WeightsFormatError(answer.refused) : new Error(answer.refused))
    })
    worker.once('error', reject)
    worker.once('exit', () => reject(new Error('the conversion ended without an answer')))
  })
}

if (!isMainThread && parentPort && workerData?.wholeGguf) {
  let answer: Answer
  try {
    const job = workerData.wholeGguf as Job
    await ('folder' in job ? writeTunedBertGguf(job) : writeWholeGguf(job))
    answer = { done: true }
  } catch (err) {
    const isFinal = err instanceof Error && ['WeightsFormatError', 'SafetensorsError'].includes(err.name)
    answer = { refused: err instanceof Error ? err.message : String(err), isFinal }
  }
  parentPort.postMessage(answer)
}
