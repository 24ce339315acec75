// SPDX-License-Identifier: Apache-2.0
import { parentPort } from 'node:worker_threads'
import { type Job, look } from './look.ts'

parentPort?.on('message', ({ id, looking }: Job) => {
  parentPort?.postMessage({ id, started: true })
  try {
    parentPort?.postMessage({ id, result: look(looking) })
  } catch (err) {
    parentPort?.postMessage({ id, error: err instanceof Error ? err.message : String(err) })
  }
})
