// SPDX-License-Identifier: Apache-2.0
import { DiskSpaceError } from '../../packages/runtime/src/cache/index.ts'
import { ensureTrainerEnvironment, PythonError } from '../../packages/runtime/src/python/index.ts'
import { cacheDir } from './cache.ts'
import type { Report } from './report.ts'
import { unittest } from './trainer.ts'

/** Real training of whole jobs in the trainer's environment. */
export async function slow(report: Report): Promise<void> {
  if (process.env.NEMO_SLOW !== '1') {
    report.add({ name: 'slow', outcome: 'skipped', reason: 'NEMO_SLOW=1 runs the slow tests' })
    return
  }
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
