// SPDX-License-Identifier: Apache-2.0
import { completed } from './mutate.ts'
import { inOrder } from './order.ts'
import { LEVEL, resolveFor, UID_RANGE } from './ranges.ts'
import { refusals } from './refuse.ts'
import type { NamespaceLike, PodLike, Scc } from './types.ts'

/** The annotation by which a pod binds itself to one constraint. */
export const REQUIRED_SCC = 'openshift.io/required-scc'

export interface Prediction {
  /** The constraint that admits the pod; absent when the pod is refused. */
  scc?: string
  /** The pod as it is stored, with what the constraint fills in. */
  pod?: PodLike
  /** In OpenShift's order, what each constraint before it says against the pod, and every one when it is refused. */
  refused: { scc: string; reasons: string[] }[]
}

/**
 * Which of the cluster's constraints OpenShift admits a new pod under: highest priority first, then the most
 * restrictive, then by name; the first that the pod's ServiceAccount may use and that has nothing against the pod.
 */
export function predictScc(args: {
  pod: PodLike
  namespace: NamespaceLike
  sccs: readonly Scc[]
  /** Whether the ServiceAccount of the pod may use the constraint; `grantsOf` reads it from RBAC objects. */
  mayUse: (scc: Scc) => boolean
}): Prediction {
  const { pod, namespace, sccs, mayUse } = args
  const missing = [UID_RANGE, LEVEL].filter((name) => !namespace.metadata.annotations?.[name])
  if (missing.length > 0) {
    const reason = `namespace ${namespace.metadata.name} has no annotation ${missing.join(', ')}`
    return { refused: inOrder(sccs).map((scc) => ({ scc: scc.metadata.name, reasons: [reason] })) }
  }
  const required = pod.metadata?.annotations?.[REQUIRED_SCC]
  const refused: Prediction['refused'] = []
  if (required !== undefined && !sccs.some((scc) => scc.metadata.name === required)) {
    refused.push({ scc: required, reasons: ['no constraint of that name in the cluster'] })
  }
  for (const scc of inOrder(sccs)) {
    const { name } = scc.metadata
    if (required !== undefined && name !== required) continue
    if (!mayUse(scc)) {
      refused.push({ scc: name, reasons: ['the ServiceAccount may not use it'] })
      continue
    }
    const resolved = resolveFor(namespace, scc)
    const result = completed(pod, resolved)
    const reasons = refusals(result, resolved)
    if (reasons.length === 0) return { scc: name, pod: result, refused }
    refused.push({ scc: name, reasons })
  }
  return { refused }
}
