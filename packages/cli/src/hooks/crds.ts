// SPDX-License-Identifier: Apache-2.0
import { customResourceDefinition, KINDS, PART_OF } from '@open-nemo/contract/kubernetes/crds.ts'
import { isStatus } from '@open-nemo/operator/framework/client.ts'
import { connect, type Kube, type KubeObject } from '../kube/api.ts'
import { CRDS } from '../kube/resources.ts'

type Env = Record<string, string | undefined>

const [OURS_KEY, OURS_VALUE] = Object.entries(PART_OF)[0] ?? ['', '']

/** Whether a CustomResourceDefinition is one that this project made, and may therefore be changed by it. */
export const isOurs = (crd: KubeObject) => crd.metadata.labels?.[OURS_KEY] === OURS_VALUE

/** Helm's own: under any other, Helm 4's next install would meet a conflict over fields that this hook set. */
const MANAGER = 'helm'

/**
 * Brings the CustomResourceDefinitions to this version, since Helm never upgrades what is in `crds/`. One that
 * somebody else installed, such as NVIDIA's operator, is left as it is. Returns a line for each.
 */
export async function applyCrds(kube: Kube): Promise<string[]> {
  const report: string[] = []
  for (const definition of KINDS) {
    const wanted = customResourceDefinition(definition) as KubeObject
    const { name } = wanted.metadata
    const current = await kube.get(CRDS, name)
    if (current && !isOurs(current)) {
      report.push(`${name}: installed by somebody else, left as it is`)
      continue
    }
    await kube.apply(CRDS, wanted, MANAGER)
    report.push(`${name}: ${current ? 'up to date' : 'made'}`)
  }
  return report
}

/** `nemoctl hook crds`: runs before an upgrade. Returns 1 when it may not change CustomResourceDefinitions. */
export async function crds(env: Env, kube?: Kube): Promise<number> {
  try {
    for (const line of await applyCrds(kube ?? (await connect(env)))) console.log(line)
    return 0
  } catch (err) {
    if (!isStatus(err, 403)) throw err
    console.error(
      `${err.message}. Apply deploy/nemo-instances/crds with kubectl apply --server-side as an administrator, ` +
        'and upgrade with --set crds.upgrade=false.',
    )
    return 1
  }
}
