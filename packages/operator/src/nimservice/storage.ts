// SPDX-License-Identifier: Apache-2.0
import { APPS_API } from '@open-nemo/contract/kubernetes/crds.ts'
import type { NimCacheSpec, NimServiceSpec } from '@open-nemo/contract/kubernetes/nim-kinds.ts'
import type { KubeObject, World } from '../framework/types.ts'
import { type ClaimSpec, claimObjects } from '../nemo-service/claims.ts'
import { claimName } from '../nimcache/objects.ts'

type Fields = Record<string, unknown>

export const STORE = '/model-store'

/** Where the model is, and what is known of it. */
export interface ModelStorage {
  volume: Fields
  subPath: string | undefined
  claims: KubeObject[]
  /** Each with cause and fix; no pod is made while there is one. */
  missing: string[]
  reason: string
  /** Whether only one node at a time may mount it: then the old pod has to go first. */
  isExclusive: boolean
  /** Of a NIMCache: the name that its model is served by, and its source. */
  model?: string
  cache?: { spec: NimCacheSpec; profile: string | undefined }
}

const none = { claims: [], missing: [], reason: '', subPath: undefined, isExclusive: false }

export function modelStorage(name: string, spec: NimServiceSpec, world: World): ModelStorage {
  const storage = spec.storage ?? {}
  const kinds = [storage.nimCache?.name, storage.pvc, storage.emptyDir, storage.hostPath].filter(Boolean)
  if (kinds.length > 1) {
    const message = 'spec.storage names more than one of nimCache, pvc, emptyDir and hostPath: leave one'
    return { ...none, volume: { emptyDir: {} }, missing: [message], reason: 'InvalidStorage' }
  }
  if (storage.hostPath) {
    const message =
      'spec.storage.hostPath is refused: Pod Security restricted forbids it, and it needs an SCC above restricted-v2. ' +
      'Use spec.storage.nimCache or spec.storage.pvc'
    return { ...none, volume: { emptyDir: {} }, missing: [message], reason: 'HostPathRefused' }
  }
  if (storage.nimCache?.name) return ofCache(storage.nimCache.name, storage.nimCache.profile, world)
  if (storage.pvc) return ofClaim(name, storage.pvc as ClaimSpec, world)
  const limit = storage.emptyDir?.sizeLimit
  return { ...none, volume: { emptyDir: limit ? { sizeLimit: limit } : {} } }
}

function ofClaim(name: string, claim: ClaimSpec, world: World): ModelStorage {
  const made = claimObjects(claim, `${name}-pvc`, world, 'storage.pvc')
  return {
    volume: { persistentVolumeClaim: { claimName: made.name } },
    subPath: claim.subPath || undefined,
    claims: made.objects,
    missing: made.missing,
    reason: 'ClaimMissing',
    isExclusive: isExclusive(made.objects[0] ?? claimOf(world, made.name)),
  }
}

function ofCache(name: string, profile: string | undefined, world: World): ModelStorage {
  const cache = world.get({ apiVersion: APPS_API, kind: 'NIMCache', name })
  const status = (cache?.status ?? {}) as {
    state?: string
    pvc?: string
    model?: string
    conditions?: { type: string; message?: string }[]
  }
  const spec = cache?.spec as NimCacheSpec | undefined
  const claim = status.pvc || (spec ? claimName(name, spec) : `${name}-pvc`)
  const why = status.conditions?.find((each) => each.type === 'Ready')?.message ?? 'it has not begun'
  const missing = !cache
    ? [`NIMCache ${name} does not exist: make it, or name another in spec.storage.nimCache`]
    : status.state === 'Ready'
      ? []
      : [`NIMCache ${name} is ${status.state || 'new'}: ${why}`]
  return {
    volume: { persistentVolumeClaim: { claimName: claim } },
    subPath: spec?.storage?.pvc?.subPath || undefined,
    claims: [],
    missing,
    reason: 'NIMCacheNotReady',
    isExclusive: isExclusive(claimOf(world, claim)),
    ...(status.model ? { model: status.model } : {}),
    ...(spec ? { cache: { spec, profile: profile || undefined } } : {}),
  }
}

const claimOf = (world: World, name: string) =>
  world.get({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', name })

/** A claim that is not known yet is taken for the common kind, which is exclusive. */
function isExclusive(claim: KubeObject | undefined): boolean {
  const { accessModes } = (claim?.spec ?? {}) as { accessModes?: string[] }
  return !(accessModes ?? []).some((mode) => ['ReadWriteMany', 'ReadOnlyMany'].includes(mode))
}
