// SPDX-License-Identifier: Apache-2.0
import { runFiles, testFiles } from './files.ts'
import type { Report } from './report.ts'

const MINUTES = 60_000
const OPTIONS = { concurrency: 1, timeoutMs: 40 * MINUTES }
/** Files that can share a lab: they keep to namespaces of their own. */
const SHARE_A_LAB = /\/(infra-lab|seed)\.test\.ts$/

/**
 * The charts, operators and images on a real Kubernetes. NEMO_SLOW=1 runs them, one file after another since each
 * brings a cluster up; a file whose machine cannot (no root, no Linux) skips itself with the reason.
 */
export async function cluster(report: Report): Promise<void> {
  const files = testFiles('test/cluster/**/*.test.ts')
  if (process.env.NEMO_SLOW !== '1') {
    for (const name of files) report.add({ name, outcome: 'skipped', reason: 'NEMO_SLOW=1 runs it' })
    return
  }
  const sharing = files.filter((file) => SHARE_A_LAB.test(file))
  await runFiles(
    report,
    files.filter((file) => !sharing.includes(file)),
    OPTIONS,
  )
  const { noLab, openSite, SEED_IMAGES } = await import('../../test/cluster/support/site.ts')
  // Given by who runs the tests, or not to be had: each file says so itself.
  if (process.env.NEMO_TEST_LAB || noLab) return runFiles(report, sharing, OPTIONS)
  const site = await openSite(SEED_IMAGES)
  try {
    process.env.NEMO_TEST_LAB = site.lab.dir
    await runFiles(report, sharing, OPTIONS)
  } finally {
    delete process.env.NEMO_TEST_LAB
    await site.close()
  }
}
