// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'

/** Looks again until it holds; what it throws meanwhile is only told when the time is over. */
export async function until(check: () => unknown, ms = 60_000): Promise<void> {
  const begun = Date.now()
  let last: unknown
  while (Date.now() - begun < ms) {
    try {
      if (await check()) return
    } catch (err) {
      last = err
    }
    await sleep(100)
  }
  assert.fail(`not within ${ms} ms: ${check}${last ? `; ${last}` : ''}`)
}
