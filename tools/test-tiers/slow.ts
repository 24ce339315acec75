// SPDX-License-Identifier: Apache-2.0
import { DiskSpaceError } from '../../packages/runtime/src/cache/index.ts'
import { ensureTrainerEnvironment, PythonError } from '../../packages/runtime/src/python/index.ts'
import { cacheDir } from './cache.ts'
import { runFiles, testFiles } from './files.ts'
import type { Report } from './report.ts'
import { unittest } from './trainer.ts'

const TIMEOUT_MS = 15 * 60_000

/** Faults of disk, memory, clock and files; traces in a real collector; real training of whole jobs and what comes of it. */
export async function slow(report: Report): Promise<void> {
  if (process.env.NEMO_SLOW !== '1') {
    report.add({ name: 'slow', outcome: 'skipped', reason: 'NEMO_SLOW=1 runs the slow tests' })
    return
  }
  const files = testFiles('test/{kill,telemetry,training}/*.test.ts')
  await runFiles(report, files, { concurrency: 1, timeoutMs: TIMEOUT_MS })
  let python: string
  try {
    const progress = ({ message }: { message: string }) => console.log(`  ${message}`)
    python = (await ensureTrainerEnvironment(cacheDir(), { onProgress: progress })).python
  } catch (error) {
    // No Python, no registry or no room: this machine cannot train.
    if (!(error instanceof PythonError || error instanceof DiskSpaceError)) throw error
    report.add({ name: 'slow: training', outcome: 'skipped', reason: error.message })
    return
  }
  await unittest(report, python, ['tests.slow_training'])
}
