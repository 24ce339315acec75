// SPDX-License-Identifier: Apache-2.0
import { AsyncLocalStorage } from 'node:async_hooks'

/** What the requests made for one sample cost. */
export interface Meter {
  retries: number
  /** Index of the sample; undefined for what a task asks before its samples. */
  readonly sample: number | undefined
}

const current = new AsyncLocalStorage<Meter>()

/** Runs `work` with a meter of its own; requests made within count into it, however deep. */
export async function metered<T>(
  work: () => Promise<T>,
  sample?: number,
): Promise<{ meter: Meter; outcome: PromiseSettledResult<T> }> {
  const meter: Meter = { retries: 0, sample }
  const [outcome] = await current.run(meter, () => Promise.allSettled([work()]))
  return { meter, outcome }
}

/** The sample that work is done for here. */
export const sampleOfNow = (): number | undefined => current.getStore()?.sample

/** Counts a request that is sent again. */
export function countRetry(): void {
  const meter = current.getStore()
  if (meter) meter.retries++
}
