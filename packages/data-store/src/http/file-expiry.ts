// SPDX-License-Identifier: Apache-2.0
import { invalid } from '@open-nemo/contract'
import type { Logger } from '@open-nemo/runtime'
import type { FileRows } from '../storage/file-rows.ts'
import type { Repositories } from '../storage/repositories.ts'
import { removeFile } from './files-repo.ts'

const MIN_SECONDS = 3600
const MAX_SECONDS = 30 * 24 * 3600
const SWEEP_MS = 60_000
/** How many files one sweep takes; the next takes the rest. */
const BATCH = 100

/**
 * For how many seconds a form asks its file to be kept, undefined for ever. The clients send `expires_after` as the
 * fields `expires_after[anchor]` and `expires_after[seconds]`. Throws a 422 naming the field.
 */
export function lifetimeOf(fields: Record<string, string>): number | undefined {
  const asked = Object.keys(fields).filter((name) => /^expires_after(?:\[|$)/.test(name))
  if (asked.length === 0) return undefined
  const anchor = fields['expires_after[anchor]']
  const seconds = fields['expires_after[seconds]']
  if (anchor === undefined && seconds === undefined)
    throw invalid(
      ['body', 'expires_after'],
      'is sent as the fields expires_after[anchor] and expires_after[seconds]',
    )
  if (anchor !== 'created_at') throw invalid(['body', 'expires_after', 'anchor'], 'must be created_at')
  const whole = /^\d{1,9}$/.test(seconds ?? '') ? Number(seconds) : 0
  if (whole < MIN_SECONDS || whole > MAX_SECONDS)
    throw invalid(
      ['body', 'expires_after', 'seconds'],
      `must be a whole number from ${MIN_SECONDS} (an hour) to ${MAX_SECONDS} (30 days)`,
    )
  return whole
}

/** Removes the files whose time is over, and gives their ids. Nobody sees them from that time on, removed or not. */
export async function removeExpired(store: Repositories, rows: FileRows): Promise<string[]> {
  const ids = await rows.expired(BATCH)
  for (const id of ids) await removeFile(store, rows, id)
  return ids
}

/** Removes files whose time is over, every minute. `stop` waits for the sweep that runs. */
export function sweepExpired(
  store: Repositories,
  rows: FileRows,
  log: Logger,
): { stop: () => Promise<void> } {
  let running: Promise<void> | undefined
  const sweep = async () => {
    try {
      const ids = await removeExpired(store, rows)
      if (ids.length > 0) log.info({ files: ids }, 'files expired')
    } catch (err) {
      log.error({ err }, 'expired files could not be removed')
    }
  }
  const timer = setInterval(() => {
    running ??= sweep().finally(() => {
      running = undefined
    })
  }, SWEEP_MS)
  timer.unref()
  return {
    async stop() {
      clearInterval(timer)
      await running
    },
  }
}
