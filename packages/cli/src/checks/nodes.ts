// SPDX-License-Identifier: Apache-2.0

import { quantity } from '@open-nemo/contract/kubernetes/quantity.ts'
import type { KubeObject } from '../kube/api.ts'
import { NODES, PODS } from '../kube/resources.ts'
import type { Check } from './cluster.ts'
import type { Finding } from './types.ts'

interface Taint {
  key: string
  value?: string
  effect: string
}

interface Toleration {
  key?: string
  operator?: string
  value?: string
  effect?: string
}

const tolerates = (toleration: Toleration, taint: Taint) =>
  (!toleration.effect || toleration.effect === taint.effect) &&
  (!toleration.key
    ? toleration.operator === 'Exists'
    : toleration.key === taint.key &&
      (toleration.operator === 'Exists' || (toleration.value ?? '') === (taint.value ?? '')))

/** Taints of a node that keep a pod with these tolerations away. */
export function blockingTaints(node: KubeObject, tolerations: readonly Toleration[]): string[] {
  const { taints = [] } = (node.spec ?? {}) as { taints?: Taint[] }
  return taints
    .filter((taint) => taint.effect !== 'PreferNoSchedule' && !tolerations.some((t) => tolerates(t, taint)))
    .map(({ key, value, effect }) => `${key}${value ? `=${value}` : ''}:${effect}`)
}

const fits = (node: KubeObject, selector: Record<string, string>) =>
  Object.entries(selector).every(([key, value]) => node.metadata.labels?.[key] === value)

const allocatable = (node: KubeObject, name: string) =>
  quantity((node.status as { allocatable?: Record<string, string> } | undefined)?.allocatable?.[name] ?? 0)

/** Nodes that take the pods, and those with GPUs with what keeps pods off them. */
export const nodes: Check = async (kube, wanted) => {
  const all = await kube.list(NODES)
  const selected = all.filter((node) => fits(node, wanted.nodeSelector))
  const open = selected.filter((node) => blockingTaints(node, wanted.tolerations).length === 0)
  const findings: Omit<Finding, 'check'>[] = []
  if (open.length === 0) {
    const why = selected.map((n) => `${n.metadata.name} (${blockingTaints(n, wanted.tolerations).join(' ')})`)
    findings.push({
      level: 'error',
      message:
        all.length === 0
          ? 'the cluster has no node'
          : selected.length === 0
            ? `no node has the labels ${JSON.stringify(wanted.nodeSelector)} of global.scheduling.nodeSelector`
            : `every node is tainted: ${why.join(', ')}; tolerate one with global.scheduling.tolerations`,
    })
  } else findings.push({ level: 'ok', message: `${open.length} of ${all.length} nodes take the pods` })
  if (wanted.gpus === 0) return findings
  const gpu = all.filter((node) => allocatable(node, 'nvidia.com/gpu') >= wanted.gpus)
  const free = gpu.filter((node) => open.includes(node))
  for (const node of gpu.filter((n) => !open.includes(n))) {
    const taints = blockingTaints(node, wanted.tolerations).join(' ') || 'labels'
    findings.push({
      level: free.length > 0 ? 'warning' : 'error',
      message: `GPU node ${node.metadata.name} is kept from the pods by ${taints}; see global.scheduling`,
    })
  }
  if (gpu.length === 0) {
    findings.push({ level: 'error', message: `no node has ${wanted.gpus} nvidia.com/gpu to give` })
  } else if (free.length > 0) {
    findings.push({ level: 'ok', message: `GPUs on ${free.map((n) => n.metadata.name).join(', ')}` })
  }
  return findings
}

const CANNOT_PULL = new Set(['ErrImagePull', 'ImagePullBackOff', 'InvalidImageName', 'ErrImageNeverPull'])

interface PodStatus {
  containerStatuses?: { image?: string; state?: { waiting?: { reason?: string; message?: string } } }[]
  initContainerStatuses?: PodStatus['containerStatuses']
}

/** Images that pods of the namespace wait for, and those that can come from nowhere. */
export const images: Check = async (kube, wanted) => {
  const stuck = new Map<string, string>()
  for (const pod of await kube.list(PODS)) {
    const { containerStatuses = [], initContainerStatuses = [] } = (pod.status ?? {}) as PodStatus
    for (const { image = '', state } of [...containerStatuses, ...initContainerStatuses]) {
      const { reason = '', message = '' } = state?.waiting ?? {}
      if (CANNOT_PULL.has(reason)) stuck.set(image, `${reason} in pod ${pod.metadata.name}: ${message}`)
    }
  }
  const findings: Omit<Finding, 'check'>[] = [...stuck].map(([image, why]) => ({
    level: 'error',
    message: `image ${image} cannot be pulled (${why}); see global.imageRegistry and global.imagePullSecrets`,
  }))
  const local = wanted.images.filter((image) => image.startsWith('localhost/') && !stuck.has(image))
  if (local.length > 0) findings.push(...(await onEveryNode(await kube.list(NODES), local)))
  return findings.length > 0 ? findings : [{ level: 'ok', message: 'no image is known to be out of reach' }]
}

/** Nothing publishes images under localhost: every node must hold them, or they are pushed to a registry. */
async function onEveryNode(all: KubeObject[], wanted: string[]): Promise<Omit<Finding, 'check'>[]> {
  return wanted.flatMap((image) => {
    const lacking = all.filter((node) => {
      const { images: held = [] } = (node.status ?? {}) as { images?: { names?: string[] }[] }
      return !held.some(({ names = [] }) => names.includes(image))
    })
    if (lacking.length === 0) return []
    const message =
      `image ${image} is not on ${lacking.map((n) => n.metadata.name).join(', ')} and no registry has it: ` +
      '`nemoctl images push REGISTRY` and set global.imageRegistry=REGISTRY'
    return [{ level: 'error' as const, message }]
  })
}
