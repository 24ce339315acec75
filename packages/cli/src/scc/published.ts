// SPDX-License-Identifier: Apache-2.0
import type { Scc } from './types.ts'

const NAMESPACED = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]
const CLOSED = {
  allowPrivilegedContainer: false,
  allowHostDirVolumePlugin: false,
  allowHostIPC: false,
  allowHostNetwork: false,
  allowHostPID: false,
  allowHostPorts: false,
  readOnlyRootFilesystem: false,
  defaultAddCapabilities: null,
  priority: null,
} as const

/** What the v1 constraints drop, and no more. */
const V1 = {
  ...CLOSED,
  allowPrivilegeEscalation: true,
  allowedCapabilities: null,
  requiredDropCapabilities: ['KILL', 'MKNOD', 'SETUID', 'SETGID'],
  seLinuxContext: { type: 'MustRunAs' },
  supplementalGroups: { type: 'RunAsAny' },
  volumes: NAMESPACED,
} as const

/** The v2 constraints are Pod Security `restricted` in OpenShift's words. */
const V2 = {
  ...CLOSED,
  allowPrivilegeEscalation: false,
  allowedCapabilities: ['NET_BIND_SERVICE'],
  requiredDropCapabilities: ['ALL'],
  seLinuxContext: { type: 'MustRunAs' },
  supplementalGroups: { type: 'RunAsAny' },
  seccompProfiles: ['runtime/default'],
  volumes: NAMESPACED,
} as const

/** Ids inside a user namespace of its own: restricted-v3 takes the same ones for every namespace. */
const IN_USER_NAMESPACE = [{ min: 1000, max: 65_534 }]

const constraints: Record<string, Omit<Scc, 'metadata'>> = {
  restricted: { ...mutable(V1), runAsUser: { type: 'MustRunAsRange' }, fsGroup: { type: 'MustRunAs' } },
  'restricted-v2': { ...mutable(V2), runAsUser: { type: 'MustRunAsRange' }, fsGroup: { type: 'MustRunAs' } },
  'restricted-v3': {
    ...mutable(V2),
    userNamespaceLevel: 'RequirePodLevel',
    runAsUser: { type: 'MustRunAsRange', uidRangeMin: 1000, uidRangeMax: 65_534 },
    runAsGroup: { type: 'MustRunAsRange', ranges: IN_USER_NAMESPACE },
    fsGroup: { type: 'MustRunAs', ranges: IN_USER_NAMESPACE },
    supplementalGroups: { type: 'MustRunAs', ranges: IN_USER_NAMESPACE },
  },
  nonroot: { ...mutable(V1), runAsUser: { type: 'MustRunAsNonRoot' }, fsGroup: { type: 'RunAsAny' } },
  'nonroot-v2': { ...mutable(V2), runAsUser: { type: 'MustRunAsNonRoot' }, fsGroup: { type: 'RunAsAny' } },
  anyuid: {
    ...mutable(V1),
    requiredDropCapabilities: ['MKNOD'],
    runAsUser: { type: 'RunAsAny' },
    fsGroup: { type: 'RunAsAny' },
    priority: 10,
    groups: ['system:cluster-admins'],
  },
  'hostmount-anyuid': {
    ...mutable(V1),
    allowHostDirVolumePlugin: true,
    requiredDropCapabilities: ['MKNOD'],
    runAsUser: { type: 'RunAsAny' },
    fsGroup: { type: 'RunAsAny' },
    volumes: [...NAMESPACED, 'hostPath', 'nfs'],
    users: ['system:serviceaccount:openshift-infra:pv-recycler-controller'],
  },
  privileged: {
    ...mutable(V1),
    allowPrivilegedContainer: true,
    allowHostDirVolumePlugin: true,
    allowHostIPC: true,
    allowHostNetwork: true,
    allowHostPID: true,
    allowHostPorts: true,
    allowedCapabilities: ['*'],
    allowedUnsafeSysctls: ['*'],
    requiredDropCapabilities: null,
    runAsUser: { type: 'RunAsAny' },
    seLinuxContext: { type: 'RunAsAny' },
    fsGroup: { type: 'RunAsAny' },
    seccompProfiles: ['*'],
    volumes: ['*'],
    users: ['system:admin'],
    groups: ['system:cluster-admins', 'system:nodes', 'system:masters'],
  },
}

function mutable(parts: typeof V1 | typeof V2): Omit<Scc, 'metadata'> {
  return structuredClone(parts) as unknown as Omit<Scc, 'metadata'>
}

/**
 * The SecurityContextConstraints that every OpenShift 4 cluster has and that matter here, as documented;
 * restricted-v3 came with user namespaces in 4.20.
 */
export function publishedSccs(): Scc[] {
  return Object.entries(constraints).map(([name, spec]) => ({ metadata: { name }, ...structuredClone(spec) }))
}

/** What any authenticated user and ServiceAccount may use, by a binding that OpenShift makes on every cluster. */
export const GRANTED_TO_ALL: readonly string[] = ['restricted-v2']
