// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError, UpstreamError } from '@open-nemo/contract'
import { KubernetesError } from '@open-nemo/runtime/executors/index.ts'
import { throwIfStopped } from './run.ts'

const FIRST_DELAY_MS = 250
const MAX_DELAY_MS = 8000

/** Whether the same call may succeed later: the other service is starting, overloaded or not reached. */
export function isTransient(error: unknown): boolean {
  if (error instanceof UpstreamError)
    return error.status === 429 || (error.status >= 500 && error.status !== 501)
  if (error instanceof ApiError) return error.status === 503
  // 409: two writers met, as when the operator wrote meanwhile.
  if (error instanceof KubernetesError) return [0, 409, 429].includes(error.status) || error.status >= 500
  // fetch reports a refused or broken connection as a TypeError.
  return error instanceof TypeError && /fetch|terminated|network/i.test(error.message)
}

/** Runs `work` until it succeeds, fails for good, or `limitMs` are over. */
export async function retry<T>(work: () => Promise<T>, signal: AbortSignal, limitMs = 120_000): Promise<T> {
  const end = Date.now() + limitMs
  for (let delay = FIRST_DELAY_MS; ; delay = Math.min(2 * delay, MAX_DELAY_MS)) {
    try {
      return await work()
    } catch (err) {
      throwIfStopped(signal)
      if (!isTransient(err) || Date.now() + delay > end) throw err
    }
    await sleep(delay, undefined, { signal }).catch(() => undefined)
    throwIfStopped(signal)
  }
}
