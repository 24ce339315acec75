// SPDX-License-Identifier: Apache-2.0
import { writeFile } from 'node:fs/promises'
import { z } from 'zod'
import { reportLines, runChecks } from '../checks/run.ts'
import { wantedSchema } from '../checks/types.ts'
import { connect, type Kube } from '../kube/api.ts'

type Env = Record<string, string | undefined>

const settings = z.object({
  /** What the chart needs, as JSON (checks/types.ts). */
  WANTED: z.string().transform((text) => wantedSchema.parse(JSON.parse(text))),
  /** Where the kubelet reads what `kubectl describe pod` shows of an ended container. */
  TERMINATION_LOG: z.string().default('/dev/termination-log'),
})

/** Kubernetes shows no more of a termination message. */
const MESSAGE_LIMIT = 4000

/**
 * `nemoctl hook preflight`: runs before an install or upgrade, prints all that is missing at once, and returns 1
 * when something is.
 */
export async function preflight(env: Env, kube?: Kube): Promise<number> {
  const config = settings.parse(env)
  const findings = await runChecks(kube ?? (await connect(env)), config.WANTED)
  for (const line of reportLines(findings)) console.log(line)
  const errors = findings.filter((finding) => finding.level === 'error')
  if (errors.length === 0) return 0
  const message = reportLines(errors).join('\n')
  await writeFile(config.TERMINATION_LOG, message.slice(0, MESSAGE_LIMIT)).catch(() => undefined)
  console.log(`${errors.length} missing; deploy/nemo-instances/README.md#prerequisites says how to get each`)
  return 1
}
