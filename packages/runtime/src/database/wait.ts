// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../telemetry/log.ts'
import type { Queryable } from './types.ts'

/**
 * What a server that is coming up answers, or one that is about to take a new password: nobody listens, the name is
 * not known yet, it starts, the role or the database is still to be made.
 */
const COMING = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ETIMEDOUT'],
  ...['57P03', '28P01', '28000', '3D000'],
])
const POLL_MS = 1000

/** A new password reaches PostgreSQL's pod about a minute after its Secret has changed. */
export const DATABASE_WAIT_MS = 180_000

/** Waits until the database answers. Throws what it said last when the time is over, and any other error at once. */
export async function waitForDatabase(
  db: Queryable,
  options: { log: Logger; timeoutMs: number; pollMs?: number },
): Promise<void> {
  const end = Date.now() + options.timeoutMs
  for (let told = ''; ; ) {
    try {
      await db.query('SELECT 1')
      return
    } catch (err) {
      const { code = '', message } = err as Error & { code?: string }
      const isComing = COMING.has(code) || /connection timeout|Connection terminated/i.test(message)
      if (!isComing || Date.now() >= end) throw err
      if (told !== message) options.log.warn({ err: message }, 'the database is not there yet; trying again')
      told = message
      await sleep(options.pollMs ?? POLL_MS)
    }
  }
}
