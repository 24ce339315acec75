// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { isStatus } from '@open-nemo/operator/framework/client.ts'
import { z } from 'zod'
import { connect, type Kube, type KubeObject } from '../kube/api.ts'
import { NAMESPACES, ROLE_BINDINGS_EVERYWHERE, SCCS } from '../kube/resources.ts'

type Env = Record<string, string | undefined>

const settings = z.object({ SCC: z.string().min(1) })
const ATTEMPTS = 5
const WAIT_MS = 500

/** Namespaces whose bindings let an account use the constraint. */
export async function namespacesUsing(kube: Kube, scc: string): Promise<string[]> {
  const binding = `customizer-scc-${scc}-binding`
  const bindings = await kube.list(ROLE_BINDINGS_EVERYWHERE)
  return bindings
    .filter(({ metadata }) => metadata.name === binding)
    .map(({ metadata }) => metadata.namespace ?? '')
}

/**
 * Makes every namespace that uses the constraint an owner of it, and nobody else: so Kubernetes deletes it with the
 * last of them, however that one goes. Returns a line for people.
 */
export async function ownScc(kube: Kube, scc: string, without?: string): Promise<string> {
  const users = (await namespacesUsing(kube, scc)).filter((name) => name !== without).sort()
  const namespaces = await Promise.all(users.map((name) => kube.get(NAMESPACES, name)))
  const ownerReferences = namespaces
    .filter((namespace): namespace is KubeObject => namespace?.metadata.uid !== undefined)
    .map(({ metadata: { name, uid } }) => ({ apiVersion: 'v1', kind: 'Namespace', name, uid }))
  for (let attempt = 1; ; attempt++) {
    const found = await kube.get(SCCS, scc)
    if (!found) return `no ${scc}`
    const { resourceVersion } = found.metadata
    try {
      await kube.merge(SCCS, scc, { metadata: { resourceVersion, ownerReferences } })
      return `${scc} belongs to ${users.join(', ')}`
    } catch (err) {
      // Another namespace's hook changed it meanwhile.
      if (!isStatus(err, 409) || attempt === ATTEMPTS) throw err
      await sleep(WAIT_MS)
    }
  }
}

/** `nemoctl hook scc`: runs after an install or upgrade. */
export async function sccHook(env: Env, kube?: Kube): Promise<number> {
  const { SCC } = settings.parse(env)
  console.log(await ownScc(kube ?? (await connect(env)), SCC))
  return 0
}
