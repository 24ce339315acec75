// SPDX-License-Identifier: Apache-2.0
import { quantity } from '@open-nemo/contract/kubernetes/quantity.ts'
import type { KubeObject } from './types.ts'

interface ClaimSpec {
  accessModes?: string[]
  storageClassName?: string
  resources?: { requests?: { storage?: string } }
}

/**
 * What is asked of a claim that is there: a volume keeps its class and access modes, and never shrinks. So a volume that
 * outlived its release is used by the next one, whatever class that one would take for a new volume.
 */
export function keepingVolume(desired: KubeObject, live: KubeObject): KubeObject {
  const wanted = (desired.spec ?? {}) as ClaimSpec
  const { accessModes, storageClassName, resources } = (live.spec ?? {}) as ClaimSpec
  const [asked, has] = [wanted.resources?.requests?.storage, resources?.requests?.storage]
  const storage = has !== undefined && !(quantity(asked) > quantity(has)) ? has : asked
  return {
    ...desired,
    spec: {
      ...wanted,
      ...(accessModes ? { accessModes } : {}),
      ...(storageClassName === undefined ? {} : { storageClassName }),
      resources: { requests: { storage } },
    },
  }
}
