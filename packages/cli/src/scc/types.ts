// SPDX-License-Identifier: Apache-2.0

export interface IdRange {
  min?: number
  max?: number
}

/** A SecurityContextConstraints object of OpenShift (security.openshift.io/v1). */
export interface Scc {
  metadata: { name: string }
  priority?: number | null
  allowPrivilegedContainer?: boolean
  allowPrivilegeEscalation?: boolean | null
  defaultAllowPrivilegeEscalation?: boolean | null
  allowHostNetwork?: boolean
  allowHostPorts?: boolean
  allowHostPID?: boolean
  allowHostIPC?: boolean
  allowHostDirVolumePlugin?: boolean
  allowedCapabilities?: string[] | null
  defaultAddCapabilities?: string[] | null
  requiredDropCapabilities?: string[] | null
  allowedUnsafeSysctls?: string[] | null
  forbiddenSysctls?: string[] | null
  readOnlyRootFilesystem?: boolean
  runAsUser?: { type?: string; uid?: number; uidRangeMin?: number; uidRangeMax?: number } | null
  runAsGroup?: { type?: string; ranges?: IdRange[] } | null
  seLinuxContext?: { type?: string; seLinuxOptions?: { level?: string } } | null
  fsGroup?: { type?: string; ranges?: IdRange[] } | null
  supplementalGroups?: { type?: string; ranges?: IdRange[] } | null
  seccompProfiles?: string[] | null
  userNamespaceLevel?: string
  volumes?: string[] | null
  users?: string[] | null
  groups?: string[] | null
}

export interface SeccompProfile {
  type?: string
  localhostProfile?: string
}

export interface PodSecurityContext {
  runAsUser?: number
  runAsGroup?: number
  runAsNonRoot?: boolean
  fsGroup?: number
  supplementalGroups?: number[]
  seLinuxOptions?: { level?: string }
  seccompProfile?: SeccompProfile
  sysctls?: { name: string; value: string }[]
}

export interface ContainerSecurityContext extends Omit<PodSecurityContext, 'fsGroup' | 'supplementalGroups'> {
  privileged?: boolean
  allowPrivilegeEscalation?: boolean
  readOnlyRootFilesystem?: boolean
  capabilities?: { add?: string[]; drop?: string[] }
}

export interface ContainerLike {
  name: string
  image?: string
  ports?: { hostPort?: number }[]
  securityContext?: ContainerSecurityContext
}

/** As much of a pod (or a pod template) as admission looks at. */
export interface PodLike {
  metadata?: { name?: string; annotations?: Record<string, string> }
  spec: {
    serviceAccountName?: string
    hostNetwork?: boolean
    hostPID?: boolean
    hostIPC?: boolean
    hostUsers?: boolean
    securityContext?: PodSecurityContext
    volumes?: ({ name: string } & Record<string, unknown>)[]
    initContainers?: ContainerLike[]
    containers: ContainerLike[]
    ephemeralContainers?: ContainerLike[]
  }
}

/** The namespace with the annotations by which OpenShift allots user and group ids. */
export interface NamespaceLike {
  metadata: { name: string; annotations?: Record<string, string> }
}
