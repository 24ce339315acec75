// SPDX-License-Identifier: Apache-2.0
import type { ContainerLike, ContainerSecurityContext, PodLike, Scc } from './types.ts'

/** All containers of a pod, the init containers first, as admission visits them. */
export const containersOf = (pod: PodLike): ContainerLike[] => [
  ...(pod.spec.initContainers ?? []),
  ...pod.spec.containers,
  ...(pod.spec.ephemeralContainers ?? []),
]

/** The security context that a container has in effect: its own fields before those of the pod. */
export function effective(pod: PodLike, container: ContainerLike): ContainerSecurityContext {
  const { fsGroup: _f, supplementalGroups: _s, ...inherited } = pod.spec.securityContext ?? {}
  return { ...inherited, ...container.securityContext }
}

function mutatePod(pod: PodLike, scc: Scc): void {
  const context = { ...pod.spec.securityContext }
  pod.spec.securityContext = context
  if (scc.fsGroup?.type === 'MustRunAs') context.fsGroup ??= scc.fsGroup.ranges?.[0]?.min
  const groups = scc.supplementalGroups
  const group = groups?.type === 'MustRunAs' ? groups.ranges?.[0]?.min : undefined
  if (group !== undefined && !context.supplementalGroups?.length) context.supplementalGroups = [group]
  const level = scc.seLinuxContext?.type === 'MustRunAs' && scc.seLinuxContext.seLinuxOptions
  if (level) context.seLinuxOptions ??= { ...level }
  // A wildcard allows any profile and names none; the first that has a name becomes the default.
  const profile = scc.seccompProfiles?.find((name) => name !== '*')
  if (profile) context.seccompProfile ??= profileNamed(profile)
}

function mutateIds(pod: PodLike, container: ContainerLike, scc: Scc): void {
  const context = container.securityContext ?? {}
  const inEffect = effective(pod, container)
  const { runAsUser: user, runAsGroup: group } = scc
  const uids: Record<string, number | undefined> = { MustRunAsRange: user?.uidRangeMin, MustRunAs: user?.uid }
  const uid = inEffect.runAsUser ?? uids[user?.type ?? '']
  const gid = inEffect.runAsGroup ?? (group?.type === 'MustRunAsRange' ? group.ranges?.[0]?.min : undefined)
  if (uid !== inEffect.runAsUser) context.runAsUser = uid
  if (gid !== inEffect.runAsGroup) context.runAsGroup = gid
  const nonRoot = uid === undefined ? user?.type === 'MustRunAsNonRoot' : uid > 0
  if (nonRoot && inEffect.runAsNonRoot === undefined) context.runAsNonRoot = true
}

function mutateCapabilities(context: ContainerSecurityContext, scc: Scc): void {
  const { add = [], drop = [] } = context.capabilities ?? {}
  const added = new Set([
    ...(scc.defaultAddCapabilities ?? []).filter((name) => !drop.includes(name)),
    ...add,
  ])
  const dropped = new Set([...(scc.requiredDropCapabilities ?? []), ...drop])
  if (added.size + dropped.size === 0) return
  context.capabilities = {
    ...(added.size && { add: [...added] }),
    ...(dropped.size && { drop: [...dropped] }),
  }
}

function mutateContainer(pod: PodLike, container: ContainerLike, scc: Scc): void {
  const context = { ...container.securityContext }
  container.securityContext = context
  mutateIds(pod, container, scc)
  mutateCapabilities(context, scc)
  if (scc.readOnlyRootFilesystem) context.readOnlyRootFilesystem ??= true
  const mayDefault = !context.privileged && !context.capabilities?.add?.includes('CAP_SYS_ADMIN')
  if (mayDefault) context.allowPrivilegeEscalation ??= scc.defaultAllowPrivilegeEscalation ?? undefined
  if (scc.allowPrivilegeEscalation === false) context.allowPrivilegeEscalation ??= false
  if (context.allowPrivilegeEscalation === undefined) delete context.allowPrivilegeEscalation
}

/** The pod as a constraint completes it: what the pod leaves open is filled, what it sets stays. */
export function completed(pod: PodLike, scc: Scc): PodLike {
  const copy = structuredClone(pod)
  mutatePod(copy, scc)
  for (const container of containersOf(copy)) mutateContainer(copy, container, scc)
  return copy
}

/** The name that constraints use for a seccomp profile, `runtime/default` for RuntimeDefault. */
export function profileName(profile: { type?: string; localhostProfile?: string } | undefined): string {
  if (profile?.type === 'RuntimeDefault') return 'runtime/default'
  if (profile?.type === 'Unconfined') return 'unconfined'
  return profile?.type === 'Localhost' && profile.localhostProfile
    ? `localhost/${profile.localhostProfile}`
    : ''
}

function profileNamed(name: string) {
  if (name === 'unconfined') return { type: 'Unconfined' }
  const local = /^localhost\/(.+)$/.exec(name)?.[1]
  return local ? { type: 'Localhost', localhostProfile: local } : { type: 'RuntimeDefault' }
}
