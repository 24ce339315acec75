// SPDX-License-Identifier: Apache-2.0
import type { OperatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import type { ImageMaker } from './images.ts'

type Fields = Record<string, unknown>
type Own = { userID?: number | undefined; groupID?: number | undefined }

const NVIDIA_USER = 1000
const NVIDIA_GROUP = 2000

/**
 * The pod's security context. Ours and other images run under restricted-v2 and Pod Security `restricted`: on
 * OpenShift the platform picks user and group. NVIDIA's images need the users they were made for, and no seccomp
 * profile, which the SCC `nonroot` forbids.
 */
export function podSecurity(defaults: OperatorDefaults, maker: ImageMaker, own: Own = {}): Fields {
  if (maker === 'nvidia') {
    const group = own.groupID ?? NVIDIA_GROUP
    return {
      runAsNonRoot: true,
      runAsUser: own.userID ?? NVIDIA_USER,
      runAsGroup: group,
      fsGroup: group,
      fsGroupChangePolicy: 'OnRootMismatch',
    }
  }
  const restricted = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }
  // Only what the resource itself demands; without that the platform picks from the namespace's range.
  if (defaults.podSecurity === 'openshift') {
    const group = own.groupID === undefined ? {} : { runAsGroup: own.groupID, fsGroup: own.groupID }
    return { ...restricted, ...(own.userID === undefined ? {} : { runAsUser: own.userID }), ...group }
  }
  const fsGroup = own.groupID ?? defaults.fsGroup
  return {
    ...restricted,
    runAsUser: own.userID || defaults.runAsUser,
    runAsGroup: fsGroup,
    fsGroup,
    fsGroupChangePolicy: 'OnRootMismatch',
  }
}

/** A container's security context; of images that are not ours the root file system may be written to. */
export function containerSecurity(maker: ImageMaker): Fields {
  return {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    ...(maker === 'ours' ? { readOnlyRootFilesystem: true } : {}),
  }
}

/** The SCC that the pod asks for, so that no other one that its account may use changes how it runs. */
export function requiredScc(maker: ImageMaker): Record<string, string> {
  return { 'openshift.io/required-scc': maker === 'nvidia' ? 'nonroot' : 'restricted-v2' }
}
