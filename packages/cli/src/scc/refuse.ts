// SPDX-License-Identifier: Apache-2.0
import { containersOf, effective, profileName } from './mutate.ts'
import { inRanges } from './ranges.ts'
import type { ContainerLike, PodLike, Scc } from './types.ts'

/** Sysctls that Kubernetes calls safe, which every constraint allows unless it forbids them by name. */
const SAFE_SYSCTLS = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
])

const matches = (patterns: readonly string[] | null | undefined, name: string) =>
  (patterns ?? []).some((p) => p === name || (p.endsWith('*') && name.startsWith(p.slice(0, -1))))

function* host(pod: PodLike, scc: Scc): Generator<string> {
  if (pod.spec.hostNetwork && !scc.allowHostNetwork) yield 'hostNetwork is not allowed'
  if (pod.spec.hostPID && !scc.allowHostPID) yield 'hostPID is not allowed'
  if (pod.spec.hostIPC && !scc.allowHostIPC) yield 'hostIPC is not allowed'
  if (scc.userNamespaceLevel === 'RequirePodLevel' && pod.spec.hostUsers !== false) {
    yield 'it needs a user namespace of its own (hostUsers: false)'
  }
}

function* groups(pod: PodLike, scc: Scc): Generator<string> {
  const { fsGroup, supplementalGroups = [] } = pod.spec.securityContext ?? {}
  if (
    scc.fsGroup?.type === 'MustRunAs' &&
    (fsGroup === undefined || !inRanges(scc.fsGroup.ranges, fsGroup))
  ) {
    yield `fsGroup ${fsGroup} is outside ${show(scc.fsGroup.ranges)}`
  }
  if (scc.supplementalGroups?.type !== 'MustRunAs') return
  for (const group of supplementalGroups) {
    if (!inRanges(scc.supplementalGroups.ranges, group)) {
      yield `supplementalGroups ${group} is outside ${show(scc.supplementalGroups.ranges)}`
    }
  }
}

function* volumes(pod: PodLike, scc: Scc): Generator<string> {
  const allowed = scc.volumes ?? []
  if (allowed.includes('*')) return
  for (const { name, ...source } of pod.spec.volumes ?? []) {
    const type = Object.keys(source)[0] ?? 'emptyDir'
    if (!allowed.includes(type)) yield `volume ${name}: ${type} volumes are not allowed`
  }
}

function* sysctls(pod: PodLike, scc: Scc): Generator<string> {
  for (const { name } of pod.spec.securityContext?.sysctls ?? []) {
    if (matches(scc.forbiddenSysctls, name)) yield `sysctl ${name} is forbidden`
    else if (!SAFE_SYSCTLS.has(name) && !matches(scc.allowedUnsafeSysctls, name)) {
      yield `sysctl ${name} is not allowed`
    }
  }
}

function* seccomp(where: string, profile: string, scc: Scc): Generator<string> {
  const allowed = scc.seccompProfiles ?? []
  if (allowed.includes('*')) return
  if (allowed.length === 0) {
    if (profile) yield `${where}: seccomp may not be set (${profile})`
    return
  }
  const same = (name: string) => (name === 'docker/default' ? 'runtime/default' : name)
  if (!allowed.some((name) => same(name) === same(profile))) {
    yield `${where}: seccomp profile ${profile || '(none)'} is not one of ${allowed.join(', ')}`
  }
}

function* user(pod: PodLike, container: ContainerLike, scc: Scc): Generator<string> {
  const { runAsUser: uid, runAsGroup: gid, runAsNonRoot } = effective(pod, container)
  const rule = scc.runAsUser
  if (scc.runAsGroup?.type === 'MustRunAsRange' && !inRanges(scc.runAsGroup.ranges, gid ?? -1)) {
    yield `runAsGroup ${gid} is outside ${show(scc.runAsGroup.ranges)}`
  }
  if (rule?.type === 'MustRunAs' && uid !== rule.uid) yield `runAsUser ${uid} must be ${rule.uid}`
  if (rule?.type === 'MustRunAsRange') {
    const range = [{ min: rule.uidRangeMin, max: rule.uidRangeMax }]
    if (uid === undefined || !inRanges(range, uid)) yield `runAsUser ${uid} is outside ${show(range)}`
  }
  if (rule?.type === 'MustRunAsNonRoot') {
    if (runAsNonRoot === false) yield 'runAsNonRoot must be true'
    else if (uid === 0) yield 'runAsUser 0 is root'
  }
}

function* capabilities(pod: PodLike, container: ContainerLike, scc: Scc): Generator<string> {
  const { add = [], drop = [] } = effective(pod, container).capabilities ?? {}
  const allowed = scc.allowedCapabilities ?? []
  if (allowed.includes('*')) return
  for (const name of add) {
    if (!allowed.includes(name) && !scc.defaultAddCapabilities?.includes(name)) {
      yield `capability ${name} may not be added`
    }
  }
  for (const name of scc.requiredDropCapabilities ?? []) {
    if (!drop.includes(name)) yield `capability ${name} must be dropped`
  }
}

function* privileges(pod: PodLike, container: ContainerLike, scc: Scc): Generator<string> {
  const context = effective(pod, container)
  if (context.privileged && !scc.allowPrivilegedContainer) yield 'privileged is not allowed'
  if (scc.allowPrivilegeEscalation === false && context.allowPrivilegeEscalation !== false) {
    yield 'allowPrivilegeEscalation must be false'
  }
  if (scc.readOnlyRootFilesystem && context.readOnlyRootFilesystem !== true) {
    yield 'readOnlyRootFilesystem must be true'
  }
  const level =
    scc.seLinuxContext?.type === 'MustRunAs' ? scc.seLinuxContext.seLinuxOptions?.level : undefined
  if (level && context.seLinuxOptions?.level !== level) {
    yield `seLinuxOptions.level ${context.seLinuxOptions?.level} must be ${level}`
  }
  if (!scc.allowHostPorts && container.ports?.some((port) => port.hostPort))
    yield 'host ports are not allowed'
}

const show = (ranges: readonly { min?: number; max?: number }[] | undefined) =>
  (ranges ?? []).map(({ min, max }) => `${min}-${max}`).join(', ')

/** What a constraint refuses of a pod that it has completed; nothing when it admits the pod. */
export function refusals(pod: PodLike, scc: Scc): string[] {
  const reasons = [...host(pod, scc), ...groups(pod, scc), ...volumes(pod, scc), ...sysctls(pod, scc)]
  reasons.push(...seccomp('pod', profileName(pod.spec.securityContext?.seccompProfile), scc))
  for (const container of containersOf(pod)) {
    const profile = profileName(effective(pod, container).seccompProfile)
    const found = [
      ...user(pod, container, scc),
      ...capabilities(pod, container, scc),
      ...privileges(pod, container, scc),
    ].map((reason) => `container ${container.name}: ${reason}`)
    reasons.push(...found, ...seccomp(`container ${container.name}`, profile, scc))
  }
  return reasons
}
