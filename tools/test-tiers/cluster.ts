// SPDX-License-Identifier: Apache-2.0
import { runFiles, testFiles } from './files.ts'
import type { Report } from './report.ts'

const MINUTES = 60_000

/**
 * The charts, operators and images on a real Kubernetes. NEMO_SLOW=1 runs them, one file after another since each
 * brings a cluster up; a file whose machine cannot (no root, no Linux) skips itself with the reason.
 */
export async function cluster(report: Report): Promise<void> {
  const files = testFiles('test/cluster/**/*.test.ts')
  if (process.env.NEMO_SLOW !== '1') {
    for (const name of files) {
      report.add({ name, outcome: 'skipped', reason: 'NEMO_SLOW=1 runs the slow tests' })
    }
    return
  }
  await runFiles(report, files, { concurrency: 1, timeoutMs: 40 * MINUTES })
}
