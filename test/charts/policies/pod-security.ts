// SPDX-License-Identifier: Apache-2.0
import { containersOf, type Pod, podsOf } from '../pods.ts'
import type { Policy, Rendered } from './types.ts'

/** Kinds of volumes that both Pod Security `restricted` and restricted-v2 allow. */
const VOLUMES = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]
const HOST = ['hostNetwork', 'hostPID', 'hostIPC', 'hostUsers']

/** Pods fit Pod Security `restricted` and the SCC restricted-v2, with a read-only root. */
export const podSecurity: Policy = (rendered) =>
  podsOf(rendered.objects).flatMap((pod) => [
    ...aboutPod(pod, rendered),
    ...containersOf(pod).flatMap((container) => aboutContainer(pod, container)),
  ])

function aboutPod(pod: Pod, { podSecurity: mode }: Rendered): string[] {
  const context = pod.spec.securityContext ?? {}
  const problems: string[] = []
  if (pod.annotations['openshift.io/required-scc'] !== 'restricted-v2')
    problems.push('does not ask for restricted-v2')
  for (const field of HOST) if (field in pod.spec) problems.push(`sets ${field}`)
  for (const volume of pod.spec.volumes ?? []) {
    const kind = Object.keys(volume).find((key) => key !== 'name') ?? ''
    if (!VOLUMES.includes(kind)) problems.push(`volume ${volume.name} is a ${kind}`)
  }
  if (context.runAsNonRoot !== true) problems.push('may run as root')
  if (context.seccompProfile?.type !== 'RuntimeDefault') problems.push('has no seccomp profile')
  if (context.seLinuxOptions || context.supplementalGroups || context.sysctls)
    problems.push('sets SELinux, groups or sysctls')
  problems.push(...aboutIds(context, mode))
  return problems.map((problem) => `${pod.id} ${problem}`)
}

function aboutIds(context: Record<string, unknown>, mode: Rendered['podSecurity']): string[] {
  const ids = ['runAsUser', 'runAsGroup', 'fsGroup'].filter((field) => field in context)
  if (mode === 'openshift') return ids.map((field) => `fixes ${field} on OpenShift`)
  const missing = ['runAsUser', 'fsGroup'].filter((field) => !(Number(context[field]) > 0))
  return missing.map((field) => `has no ${field} on Kubernetes`)
}

// biome-ignore lint/suspicious/noExplicitAny: a container's spec
function aboutContainer(pod: Pod, container: any): string[] {
  const context = container.securityContext ?? {}
  const problems: string[] = []
  if (context.allowPrivilegeEscalation !== false) problems.push('may escalate')
  if (context.readOnlyRootFilesystem !== true) problems.push('may write its root')
  if (context.privileged) problems.push('is privileged')
  if (JSON.stringify(context.capabilities) !== '{"drop":["ALL"]}') problems.push('keeps capabilities')
  if ('runAsUser' in context) problems.push('fixes a UID')
  for (const port of container.ports ?? [])
    if (port.hostPort) problems.push(`takes port ${port.hostPort} of the node`)
  return problems.map((problem) => `${pod.id}/${container.name} ${problem}`)
}
