// SPDX-License-Identifier: Apache-2.0
import type { KubeObject, World } from '../framework/types.ts'

export interface ClaimSpec {
  create?: boolean
  name?: string
  storageClass?: string
  size?: string
  volumeAccessMode?: string
  subPath?: string
  annotations?: Record<string, string>
}

export const CLAIM = { apiVersion: 'v1', kind: 'PersistentVolumeClaim' } as const

/** The claim that a spec asks for or names; `missing` says what to do when it is neither made nor there. */
export function claimObjects(
  claim: ClaimSpec,
  fallbackName: string,
  world: World,
  field: string,
): { name: string; objects: KubeObject[]; missing: string[] } {
  const name = claim.name || fallbackName
  if (!claim.create) {
    const there = world.get({ ...CLAIM, name })
    const missing = `PersistentVolumeClaim ${name} does not exist: make it, or set spec.${field}.create to true`
    return { name, objects: [], missing: there ? [] : [missing] }
  }
  if (!claim.size)
    return {
      name,
      objects: [],
      missing: [`spec.${field}.size is not set: say how large the volume has to be`],
    }
  return {
    name,
    missing: [],
    objects: [
      {
        ...CLAIM,
        metadata: { name, ...(claim.annotations ? { annotations: claim.annotations } : {}) },
        spec: {
          accessModes: [claim.volumeAccessMode || 'ReadWriteOnce'],
          ...(claim.storageClass ? { storageClassName: claim.storageClass } : {}),
          resources: { requests: { storage: claim.size } },
        },
      },
    ],
  }
}

export const claimPaths = (field: string) =>
  ['create', 'name', 'storageClass', 'size', 'volumeAccessMode', 'annotations'].map(
    (key) => `${field}.${key}`,
  )
