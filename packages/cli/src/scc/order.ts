// SPDX-License-Identifier: Apache-2.0
import type { Scc } from './types.ts'

/** Each weight is more than all those after it together, so that one looser rule outweighs any number of finer ones. */
const POINTS = {
  privileged: 1_600_000,
  hostPorts: 800_000,
  hostNetwork: 400_000,
  hostVolume: 200_000,
  otherVolume: 100_000,
}
const STRATEGY: Record<string, number> = {
  RunAsAny: 40_000,
  MustRunAsNonRoot: 30_000,
  MustRunAsRange: 20_000,
  MustRunAs: 10_000,
}
/** Volumes that hold nothing but what the pod's own namespace gives. */
const TRIVIAL = new Set(['secret', 'configMap', 'emptyDir', 'downwardAPI', 'projected', 'none'])

const has = (list: readonly string[] | null | undefined, name: string) =>
  (list ?? []).some((item) => item.toUpperCase() === name)

function volumePoints(volumes: readonly string[]): number {
  if (volumes.includes('hostPath') || volumes.includes('*')) return POINTS.hostVolume
  return volumes.some((volume) => !TRIVIAL.has(volume)) ? POINTS.otherVolume : 0
}

function capabilityPoints(scc: Scc): number {
  const anyAllowed = has(scc.allowedCapabilities, '*') || has(scc.allowedCapabilities, 'ALL')
  const allowed = anyAllowed ? 4000 : 10 * (scc.allowedCapabilities?.length ?? 0)
  const dropped = has(scc.requiredDropCapabilities, 'ALL')
    ? 3000
    : 50 * (scc.requiredDropCapabilities?.length ?? 0)
  const points = 5000 + 300 * (scc.defaultAddCapabilities?.length ?? 0) + allowed - dropped
  return Math.min(9999, Math.max(0, points))
}

/** How much a constraint leaves open, by the weights that OpenShift uses: the lower, the more restrictive. */
export function openness(scc: Scc): number {
  return (
    (scc.allowPrivilegedContainer ? POINTS.privileged : 0) +
    (scc.allowHostPorts ? POINTS.hostPorts : 0) +
    (scc.allowHostNetwork ? POINTS.hostNetwork : 0) +
    volumePoints(scc.volumes ?? []) +
    capabilityPoints(scc) +
    (STRATEGY[scc.seLinuxContext?.type ?? ''] ?? 0) +
    (STRATEGY[scc.runAsUser?.type ?? ''] ?? 0)
  )
}

/** The order in which OpenShift tries constraints: highest priority, then most restrictive, then name. */
export function inOrder(sccs: readonly Scc[]): Scc[] {
  return sccs.toSorted(
    (a, b) =>
      (b.priority ?? 0) - (a.priority ?? 0) ||
      openness(a) - openness(b) ||
      (a.metadata.name < b.metadata.name ? -1 : Number(a.metadata.name > b.metadata.name)),
  )
}
