// SPDX-License-Identifier: Apache-2.0
import { isStatus } from '@open-nemo/operator/framework/client.ts'
import type { Kube } from '../kube/api.ts'
import { type Check, crdOwners, infrastructure, limits, quota, secrets, storage, version } from './cluster.ts'
import { images, nodes } from './nodes.ts'
import type { Finding, Wanted } from './types.ts'

/** All checks by name, in the order in which they are shown. */
const CHECKS: Record<string, Check> = {
  version,
  crds: crdOwners,
  infrastructure,
  secrets,
  storage,
  quota,
  limits,
  nodes,
  images,
}

/** Makes every check, whatever the others find. One that the account has no right to is skipped and says so. */
export async function runChecks(kube: Kube, wanted: Wanted, checks = CHECKS): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const [check, look] of Object.entries(checks)) {
    try {
      for (const finding of await look(kube, wanted)) findings.push({ check, ...finding })
    } catch (err) {
      if (!isStatus(err, 403)) throw err
      findings.push({ check, level: 'skipped', message: `not looked at: ${err.message}` })
    }
  }
  return findings
}

const MARKS = { error: 'MISSING', warning: 'warning', ok: 'ok', skipped: 'skipped' }

/** One line for each finding. */
export const reportLines = (findings: readonly Finding[]): string[] =>
  findings.map(({ level, check, message }) => `${MARKS[level].padEnd(8)} ${check.padEnd(15)} ${message}`)
