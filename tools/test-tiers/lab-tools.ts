// SPDX-License-Identifier: Apache-2.0
import { ensureTools } from '../../packages/cli/src/lab/index.ts'
import { cacheDir } from './cache.ts'
import type { Report } from './report.ts'

/**
 * Helm and MinIO, which tests beside the code need. They are built from package registries (some minutes, once), so only
 * NEMO_SLOW=1 does it; tests that miss them skip themselves.
 */
export async function labTools(report: Report): Promise<void> {
  const name = 'lab tools'
  if (process.env.NEMO_SLOW !== '1') {
    report.add({ name, outcome: 'skipped', reason: 'NEMO_SLOW=1 builds them' })
    return
  }
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    report.add({ name, outcome: 'skipped', reason: 'needs Linux and root' })
    return
  }
  await ensureTools(cacheDir(), ['helm3', 'helm4', 'minio'], ({ message }) => console.log(`  ${message}`))
  report.add({ name, outcome: 'passed' })
}
