// SPDX-License-Identifier: Apache-2.0
import { runFiles, testFiles } from './files.ts'
import type { Report } from './report.ts'

const MINUTES = 60_000
const OPTIONS = { concurrency: 1, timeoutMs: 40 * MINUTES }
/** Files that can share a lab: they keep to namespaces of their own. */
const SHARE_A_LAB = /\/(infra-lab|seed)\.test\.ts$/
/** Files that build every image and run pods of them: half an hour. */
const HEAVY = /\/(infra-lab|seed|lab-images)\.test\.ts$/

/**
 * The charts, operators and images on a real Kubernetes. NEMO_SLOW=1 runs them, one file after another since each
 * brings a cluster up, and NEMO_LAB=1 those too that build images and run pods of them; a file whose machine cannot (no
 * root, no Linux) skips itself with the reason.
 */
export async function cluster(report: Report): Promise<void> {
  const all = testFiles('test/cluster/**/*.test.ts')
  const wanted = (file: string) =>
    process.env.NEMO_SLOW === '1' && (process.env.NEMO_LAB === '1' || !HEAVY.test(file))
  for (const name of all.filter((file) => !wanted(file))) {
    const variable = HEAVY.test(name) ? 'NEMO_SLOW=1 and NEMO_LAB=1 run it' : 'NEMO_SLOW=1 runs it'
    report.add({ name, outcome: 'skipped', reason: variable })
  }
  const files = all.filter(wanted)
  if (files.length === 0) return
  const sharing = files.filter((file) => SHARE_A_LAB.test(file))
  await runFiles(
    report,
    files.filter((file) => !sharing.includes(file)),
    OPTIONS,
  )
  if (sharing.length === 0) return
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
