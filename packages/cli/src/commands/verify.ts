// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { reportLines } from '../checks/run.ts'
import { type Call, verifyInstallation } from '../checks/services.ts'
import { connect, type Requests } from '../kube/api.ts'

type Env = Record<string, string | undefined>

/** A model's first answer on a busy machine takes its time. */
const CALL_TIMEOUT_MS = 60_000
const POLL_MS = 3000

/** Calls a Service by way of the API server, so that nothing has to be forwarded. */
export const viaApiServer =
  (request: Requests, namespace: string): Call =>
  (service, path, body) =>
    request({
      method: body === undefined ? 'GET' : 'POST',
      path: `/api/v1/namespaces/${namespace}/services/http:${service}:8000/proxy${path}`,
      body,
      timeoutMs: CALL_TIMEOUT_MS,
    })

/**
 * `nemoctl verify`: the guide's verification and a call to each service. Returns 0 when all is well; with a time to
 * wait it looks again until then.
 */
export async function verify(env: Env, options: { namespace?: string; wait: number }): Promise<number> {
  const kube = await connect(env, options.namespace)
  const end = Date.now() + options.wait * 1000
  for (;;) {
    const findings = await verifyInstallation(kube, viaApiServer(kube.request, kube.namespace))
    const errors = findings.filter((finding) => finding.level === 'error')
    if (errors.length === 0 || Date.now() >= end) {
      for (const line of reportLines(findings)) console.log(line)
      console.log(
        errors.length === 0 ? 'All is well.' : `${errors.length} of ${findings.length} are not well.`,
      )
      return errors.length === 0 ? 0 : 1
    }
    await sleep(POLL_MS)
  }
}
