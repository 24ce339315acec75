// SPDX-License-Identifier: Apache-2.0
import { ensureTrainerEnvironment } from '../../packages/runtime/src/python/index.ts'
import { cacheDir } from './cache.ts'
import type { Report } from './report.ts'
import { unittest } from './trainer.ts'

/** Real training of whole jobs in the trainer's environment. */
export async function slow(report: Report): Promise<void> {
  if (process.env.NEMO_SLOW !== '1') {
    report.add({ name: 'slow', outcome: 'skipped', reason: 'NEMO_SLOW=1 runs the slow tests' })
    return
  }
  const { python } = await ensureTrainerEnvironment(cacheDir(), {
    onProgress: ({ message }) => console.log(`  ${message}`),
  })
  await unittest(report, python, ['tests.slow_training'])
}
