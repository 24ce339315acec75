// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from './helm.ts'

type Labels = Record<string, string>

/** One end of a connection: labels of a pod of the release's namespace, or something outside it. */
export type End = { labels: Labels } | 'outside'

export interface Flow {
  from: End
  to: End
  port: number
  protocol?: 'TCP' | 'UDP'
}

interface Selector {
  matchLabels?: Labels
  matchExpressions?: { key: string; operator: string; values?: string[] }[]
}
interface Peer {
  podSelector?: Selector
  namespaceSelector?: Selector
  ipBlock?: object
}
interface Rule {
  from?: Peer[]
  to?: Peer[]
  ports?: { port: number; protocol: string }[]
}

function selects(selector: Selector, labels: Labels): boolean {
  const exact = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value)
  return exact && (selector.matchExpressions ?? []).every((expression) => holds(expression, labels))
}

function holds(
  { key, operator, values = [] }: { key: string; operator: string; values?: string[] },
  labels: Labels,
) {
  if (operator === 'Exists') return key in labels
  if (operator === 'DoesNotExist') return !(key in labels)
  const within = values.includes(labels[key] ?? '')
  return operator === 'In' ? within : !within
}

/** Whether a rule lets the other end in (or out to it) at this port. */
function allows(peers: Peer[] | undefined, { ports }: Rule, other: End, flow: Flow): boolean {
  const port = !ports || ports.some((p) => p.port === flow.port && p.protocol === (flow.protocol ?? 'TCP'))
  const reachable =
    !peers ||
    peers.length === 0 ||
    peers.some((peer) =>
      other === 'outside'
        ? Boolean(peer.ipBlock ?? peer.namespaceSelector)
        : peer.podSelector !== undefined &&
          !peer.namespaceSelector &&
          selects(peer.podSelector, other.labels),
    )
  return port && reachable
}

function side(policies: KubeObject[], flow: Flow, type: 'Ingress' | 'Egress'): boolean {
  const self = type === 'Ingress' ? flow.to : flow.from
  const other = type === 'Ingress' ? flow.from : flow.to
  if (self === 'outside') return true
  const mine = policies.filter(
    ({ spec }) => spec.policyTypes.includes(type) && selects(spec.podSelector, self.labels),
  )
  // A pod that no policy selects is open.
  if (mine.length === 0) return true
  return mine.some(({ spec }) =>
    ((type === 'Ingress' ? spec.ingress : spec.egress) ?? []).some((rule: Rule) =>
      allows(type === 'Ingress' ? rule.from : rule.to, rule, other, flow),
    ),
  )
}

/** Whether the rendered NetworkPolicies let a connection through, both out of its source and into its target. */
export function permitted(objects: readonly KubeObject[], flow: Flow): boolean {
  const policies = objects.filter((object) => object.kind === 'NetworkPolicy')
  return side(policies, flow, 'Egress') && side(policies, flow, 'Ingress')
}
