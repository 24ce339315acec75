// SPDX-License-Identifier: Apache-2.0
import { APPS_API } from '@open-nemo/contract/kubernetes/crds.ts'
import { type NimCacheSpec, nimCacheSpec } from '@open-nemo/contract/kubernetes/nim-kinds.ts'
import { wholeQuantity } from '@open-nemo/contract/kubernetes/quantity.ts'
import type { Controller, KubeObject, ObjectRef, Plan, World } from '../framework/types.ts'
import { ACCESS_KINDS } from '../pod-basics/access.ts'
import { condition, withTimes } from '../pod-basics/conditions.ts'
import { lastWarning, podStatus, terminated, whyPending } from '../pod-basics/waiting.ts'
import { hashOf } from '../trainingjob/names.ts'
import {
  accountObjects,
  CACHE_LABEL,
  CONTAINER,
  claimName,
  claimObject,
  jobObject,
  NO_ROOM,
} from './objects.ts'
import { modelName, type Puller, pullerOf } from './source.ts'

/** What the cluster shows of a cache; the states are those of the contract. */
interface Found {
  state: 'NotReady' | 'PVC-Created' | 'Started' | 'Pending' | 'InProgress' | 'Ready' | 'Failed'
  reason: string
  message: string
  neededBytes?: number
  availableBytes?: number
  bytes?: number
  revision?: string
}

interface Status {
  state?: string
  cacheKey?: string
  pvcUID?: string
  conditions?: { type: string; message?: string }[]
}

const LOOK_AGAIN_MS = 1000

/** Brings models onto volumes. */
export const nimCacheController: Controller = {
  apiVersion: APPS_API,
  kind: 'NIMCache',
  plural: 'nimcaches',
  owns: [
    ...ACCESS_KINDS,
    { apiVersion: 'batch/v1', kind: 'Job' },
    { apiVersion: 'v1', kind: 'PersistentVolumeClaim' },
    { apiVersion: 'v1', kind: 'Pod', labelSelector: 'app.kubernetes.io/managed-by=open-nemo' },
    { apiVersion: 'v1', kind: 'Event', fieldSelector: 'type=Warning' },
  ],
  references(resource) {
    const { source } = resource.spec as {
      source?: Record<string, { authSecret?: string; pullSecret?: string }>
    }
    const names = Object.values(source ?? {}).flatMap((each) => [each?.authSecret, each?.pullSecret])
    const secrets = names
      .filter((name): name is string => Boolean(name))
      .map((name) => ({ apiVersion: 'v1', kind: 'Secret', name }))
    const storage = (resource.spec as { storage?: { pvc?: { name?: string } } }).storage
    const claim = storage?.pvc?.name || `${resource.metadata.name}-pvc`
    return [...secrets, { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name: claim }]
  },
  concerns,
  plan,
}

/** The cache that a pod pulls for, or whose Job an Event warns of. */
function concerns(object: KubeObject, world: World): string[] {
  const { name = '', kind } = (object.involvedObject ?? {}) as { kind?: string; name?: string }
  const job = kind === 'Job' ? world.get({ apiVersion: 'batch/v1', kind, name }) : undefined
  const told = { Pod: object, Event: job }[object.kind]
  const cache = told?.metadata.labels?.[CACHE_LABEL]
  return cache ? [cache] : []
}

function plan(resource: KubeObject, world: World): Plan {
  const parsed = nimCacheSpec.safeParse(resource.spec)
  if (!parsed.success) {
    const message = parsed.error.issues
      .map((each) => `spec.${each.path.join('.')}: ${each.message}`)
      .join('; ')
    return stopped(resource, world, { state: 'Failed', reason: 'InvalidSpec', message })
  }
  const spec = parsed.data
  const { name } = resource.metadata
  if (!spec.storage.pvc) {
    const message =
      'spec.storage.hostPath is not supported (Pod Security restricted forbids it): give spec.storage.pvc'
    return stopped(resource, world, { state: 'Failed', reason: 'HostPathRefused', message })
  }
  const claim = world.get({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', name: claimName(name, spec) })
  const made = claimObject(name, spec)
  if (!made && !claim) {
    const message = `PersistentVolumeClaim ${claimName(name, spec)} does not exist: make it, or set spec.storage.pvc.create`
    return stopped(resource, world, { state: 'NotReady', reason: 'ClaimMissing', message })
  }
  const puller = pullerOf(name, spec, { defaults: world.defaults, capacity: capacityOf(spec, claim) })
  const claims = made ? [made] : []
  if ('reason' in puller) {
    return { ...stopped(resource, world, { state: 'Failed', ...puller }), apply: claims }
  }
  return pulling(resource, { world, spec, puller, claim, claims })
}

function stopped(resource: KubeObject, world: World, found: Found): Plan {
  return { apply: [], status: statusOf(resource, { world, found }) }
}

interface Given {
  world: World
  spec: NimCacheSpec
  puller: Puller
  claim: KubeObject | undefined
  claims: KubeObject[]
}

function pulling(resource: KubeObject, given: Given): Plan {
  const { world, spec, puller, claim, claims } = given
  const { name } = resource.metadata
  const jobs = world.list('batch/v1', 'Job', { [CACHE_LABEL]: name })
  // What decides which bytes lie where; scheduling and capacity do not.
  const cacheKey = hashOf([spec.source, claimName(name, spec), spec.storage.pvc?.subPath ?? ''])
  const before = (resource.status ?? {}) as Status
  const accounts = accountObjects(name, puller, world.defaults)
  const pvcUID = claim?.metadata.uid
  const isCached = before.state === 'Ready' && before.cacheKey === cacheKey && before.pvcUID === pvcUID
  if (isCached && pvcUID) {
    return {
      apply: claims,
      // One that has ended well says no more than the status does, and its pod would stand in every list.
      remove: [...jobs, ...accounts].map(refOf),
      status: readyAgain(resource, { world, spec, puller }),
    }
  }
  const wanted = jobObject(name, spec, { puller, defaults: world.defaults })
  const current = jobs.find((job) => job.metadata.name === wanted.metadata.name)
  const old = jobs.filter((job) => job !== current)
  // An older pod writes to the same volume.
  const isFree = old.every((job) => isEnded(job) || podsOf(job, world).length === 0)
  const found = observe({ world, job: current, claim })
  return {
    apply: [...claims, ...accounts, ...(isFree && !isEnded(current) ? [wanted] : [])],
    remove: old.map(refOf),
    status: statusOf(resource, {
      world,
      found,
      spec,
      puller,
      more: { pvc: claimName(name, spec), cacheKey, ...(pvcUID ? { pvcUID } : {}) },
    }),
    events:
      before.state === found.state
        ? []
        : [
            {
              type: found.state === 'Failed' ? 'Warning' : 'Normal',
              reason: found.reason,
              message: found.message,
            },
          ],
    // Nobody tells of what was just made here; and when it is Ready, the Job goes after the status has said so.
    ...(['Ready', 'ClaimPending', 'JobPending'].includes(found.reason)
      ? { requeueAfterMs: LOOK_AGAIN_MS }
      : {}),
  }
}

function capacityOf(spec: NimCacheSpec, claim: KubeObject | undefined): number | undefined {
  if (spec.storage.pvc?.create) return wholeQuantity(spec.storage.pvc.size || '10Gi')
  const status = claim?.status as { capacity?: { storage?: string } } | undefined
  return wholeQuantity(status?.capacity?.storage)
}

function podsOf(job: KubeObject, world: World): KubeObject[] {
  return world
    .list('v1', 'Pod', { [CACHE_LABEL]: job.metadata.labels?.[CACHE_LABEL] ?? '' })
    .filter((pod) => pod.metadata.ownerReferences?.some((owner) => owner.uid === job.metadata.uid))
    .sort((a, b) => (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''))
}

function endOf(job: KubeObject | undefined): { type: string; message?: string } | undefined {
  const status = job?.status as
    | { conditions?: { type: string; status: string; message?: string }[] }
    | undefined
  return status?.conditions?.find(
    (each) => ['Complete', 'Failed'].includes(each.type) && each.status === 'True',
  )
}

const isEnded = (job: KubeObject | undefined): boolean => endOf(job) !== undefined

function observe({
  world,
  job,
  claim,
}: {
  world: World
  job: KubeObject | undefined
  claim: KubeObject | undefined
}): Found {
  if (!claim)
    return { state: 'NotReady', reason: 'ClaimPending', message: 'the PersistentVolumeClaim is being made' }
  if (!job)
    return {
      state: 'PVC-Created',
      reason: 'JobPending',
      message: 'the Job that brings the model is being made',
    }
  const pods = podsOf(job, world)
  const told = pods.map((pod) => outcome(pod)).find((each) => each !== undefined)
  const end = endOf(job)
  if (end?.type === 'Complete') {
    const size = told?.bytes === undefined ? '' : ` (${told.bytes} bytes)`
    return { ...told, state: 'Ready', reason: 'Ready', message: `the model is on the volume${size}` }
  }
  if (end)
    return {
      ...told,
      state: 'Failed',
      reason: reasonOf(told),
      message: told?.message || (end.message ?? 'the Job failed'),
    }
  const [pod] = pods
  if (!pod) {
    const why = lastWarning(world, { kind: 'Job', name: job.metadata.name })
    return { state: 'Started', reason: 'PodPending', message: why ?? 'waiting for the pod to be made' }
  }
  const waits = whyPending(pod)
  if (waits) return { state: 'Pending', reason: 'PodPending', message: waits }
  if (podStatus(pod).phase === 'Running') {
    return {
      state: 'InProgress',
      reason: 'Downloading',
      message: `pod ${pod.metadata.name} brings the model`,
    }
  }
  const last = told?.message ? `: ${told.message}` : ''
  return {
    ...told,
    state: 'InProgress',
    reason: 'Retrying',
    message: `pod ${pod.metadata.name} ended and is tried again${last}`,
  }
}

function reasonOf(told: Partial<Found> | undefined): string {
  return told?.neededBytes === undefined ? 'PullFailed' : 'NoRoom'
}

/** What the puller wrote as it ended: facts as JSON, or the end of its log. */
function outcome(pod: KubeObject): Partial<Found> | undefined {
  const end = terminated(pod, CONTAINER)
  if (!end) return undefined
  try {
    const { message, neededBytes, availableBytes, bytes, revision } = JSON.parse(end.message ?? '')
    return { message, neededBytes, availableBytes, bytes, revision }
  } catch {
    const isFull = end.exitCode === NO_ROOM || /No space left on device/.test(end.message ?? '')
    const hint = isFull ? '; raise spec.storage.pvc.size' : ''
    return end.exitCode === 0
      ? {}
      : { message: `exit code ${end.exitCode}: ${(end.message ?? '').trim().slice(-500)}${hint}` }
  }
}

const refOf = ({ apiVersion, kind, metadata }: KubeObject): ObjectRef => ({
  apiVersion,
  kind,
  name: metadata.name,
})

function readyAgain(
  resource: KubeObject,
  on: { world: World; spec: NimCacheSpec; puller: Puller },
): Record<string, unknown> {
  const {
    observedGeneration: _old,
    conditions,
    ...rest
  } = resource.status as Record<string, unknown> & Status
  const message = conditions?.find((each) => each.type === 'Ready')?.message ?? 'the model is on the volume'
  const found: Found = { state: 'Ready', reason: 'Ready', message }
  return { ...rest, ...statusOf(resource, { ...on, found, more: {} }) }
}

function statusOf(
  resource: KubeObject,
  on: { world: World; found: Found; spec?: NimCacheSpec; puller?: Puller; more?: Record<string, unknown> },
): Record<string, unknown> {
  const { world, spec, puller } = on
  const { state, reason, message, ...facts } = on.found
  const has = (...states: Found['state'][]) => states.includes(state)
  const model = spec && modelName(resource.metadata.name, spec)
  const conditions = [
    condition('Ready', has('Ready'), reason, message),
    condition('NIM_CACHE_PVC_CREATED', !has('NotReady') && on.more !== undefined, 'PVCCreated', ''),
    condition(
      'NIM_CACHE_JOB_CREATED',
      has('Started', 'Pending', 'InProgress', 'Ready', 'Failed') && on.more !== undefined,
      'JobCreated',
      '',
    ),
    condition(
      'NIM_CACHE_JOB_PENDING',
      has('Started', 'Pending'),
      'JobPending',
      has('Started', 'Pending') ? message : '',
    ),
    condition('NIM_CACHE_JOB_COMPLETED', has('Ready'), 'JobCompleted', ''),
    condition(
      'NIM_CACHE_RECONCILE_FAILED',
      has('Failed'),
      has('Failed') ? reason : 'NotFailed',
      has('Failed') ? message : '',
    ),
    ...(puller?.maker === 'nvidia'
      ? [
          condition(
            'SecurityRelaxed',
            true,
            'NvidiaImage',
            `${puller.image} runs as a fixed user under the SCC nonroot`,
          ),
        ]
      : []),
  ]
  return {
    ...on.more,
    state,
    observedGeneration: resource.metadata.generation,
    ...(model ? { model } : {}),
    ...Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined)),
    conditions: withTimes(resource, conditions, world.now),
  }
}
