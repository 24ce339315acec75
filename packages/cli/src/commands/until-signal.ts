// SPDX-License-Identifier: Apache-2.0

/** Longest a stop may take before the process ends all the same; clients were promised 10 s. */
const STOP_LIMIT_MS = 9_500

/**
 * Waits for SIGTERM, SIGINT, or the end of the launcher that started this process, then runs `stop`.
 * A second signal ends the process at once.
 */
export async function untilSignal(stop: () => Promise<void>): Promise<never> {
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.once(signal, () => resolve())
    // A detached platform outlives its launcher on purpose.
    if (!process.env.NEMO_DETACHED) process.once('disconnect', () => resolve())
  })
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(1))
  setTimeout(() => process.exit(1), STOP_LIMIT_MS).unref()
  await stop()
  process.exit(0)
}
