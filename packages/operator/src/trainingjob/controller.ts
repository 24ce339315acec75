// SPDX-License-Identifier: Apache-2.0
import { TRAINING_API } from '@open-nemo/contract/kubernetes/crds.ts'
import { wholeQuantity } from '@open-nemo/contract/kubernetes/quantity.ts'
import { type NemoTrainingJobSpec, nemoTrainingJobSpec } from '@open-nemo/contract/kubernetes/training-job.ts'
import { jobToken } from '@open-nemo/runtime/executors/index.ts'
import type { Controller, KubeObject, ObjectRef, Plan, PlannedEvent, World } from '../framework/types.ts'
import { type Condition, condition, withTimes } from '../pod-basics/conditions.ts'
import { podStatus } from '../pod-basics/waiting.ts'
import { BATCH_JOB, JOB_LABEL, namesOf, POD_GROUP, VOLCANO_JOB } from './names.ts'
import { DEFAULT_TTL_S, runObject, tokenObject, workspaceObject } from './objects.ts'
import {
  hasBegun,
  type Observation,
  observe,
  podsOf,
  runOfGroup,
  runsOf,
  templateHash,
  waitMs,
} from './observe.ts'
import { workspaceClaim } from './pod.ts'

interface Status {
  state?: string
  attempt?: number
  observedGeneration?: number
  completionTime?: string
}

const FINAL = ['Completed', 'Failed', 'Cancelled']
const DAY_MS = 86_400_000

/** Of Jobs and gangs, warnings and others, but what every Job has: Volcano tells in plain Events why one waits. */
const EVENTS = [
  ...['Pod', 'NemoTrainingJob', 'PersistentVolumeClaim'].map((kind) => `involvedObject.kind!=${kind}`),
  ...['SuccessfulCreate', 'SuccessfulDelete', 'Completed'].map((reason) => `reason!=${reason}`),
].join()

/** Runs training jobs as Jobs, or as Jobs of Volcano where that is wanted and there. */
export const trainingJobController: Controller = {
  apiVersion: TRAINING_API,
  kind: 'NemoTrainingJob',
  plural: 'nemotrainingjobs',
  owns: [
    BATCH_JOB,
    { ...VOLCANO_JOB, optional: true },
    { ...POD_GROUP, optional: true },
    { apiVersion: 'v1', kind: 'Pod', labelSelector: 'app.kubernetes.io/managed-by=open-nemo' },
    { apiVersion: 'v1', kind: 'Event', fieldSelector: EVENTS },
    { apiVersion: 'v1', kind: 'Secret' },
    { apiVersion: 'v1', kind: 'PersistentVolumeClaim' },
  ],
  references: (resource) =>
    ((resource.spec as { imagePullSecrets?: { name: string }[] }).imagePullSecrets ?? []).map(({ name }) => ({
      apiVersion: 'v1',
      kind: 'Secret',
      name,
    })),
  concerns,
  plan,
}

/** Jobs whose pods, gangs or warnings an object is, and all of them for the token of the installation. */
function concerns(object: KubeObject, world: World): string[] {
  const { kind, metadata } = object
  if (kind === 'Pod') return jobOf(object)
  if (kind === 'PodGroup') return jobOf(runOfGroup(object, world))
  if (kind === 'Secret' && metadata.name === world.defaults.internalTokenSecret)
    return world.list(TRAINING_API, 'NemoTrainingJob').map((job) => job.metadata.name)
  if (kind !== 'Event') return []
  const about = (object.involvedObject ?? {}) as { kind?: string; name?: string }
  const of = (ref: { apiVersion: string; kind: string }) => world.get({ ...ref, name: about.name ?? '' })
  if (about.kind === 'PodGroup') return jobOf(runOfGroup(of(POD_GROUP), world))
  return about.kind === 'Job' ? jobOf(of(BATCH_JOB) ?? of(VOLCANO_JOB)) : []
}

function jobOf(object: KubeObject | undefined): string[] {
  const name = object?.metadata.labels?.[JOB_LABEL]
  return name ? [name] : []
}

function plan(resource: KubeObject, world: World): Plan {
  const parsed = nemoTrainingJobSpec.safeParse(resource.spec)
  if (!parsed.success) {
    const message = parsed.error.issues
      .map((each) => `spec.${each.path.join('.')}: ${each.message}`)
      .join('; ')
    return {
      apply: [],
      status: statusOf(resource, world, { state: 'Failed', reason: 'InvalidSpec', message }),
    }
  }
  const spec = parsed.data
  const before = (resource.status ?? {}) as Status
  const runs = runsOf(resource, world)
  // What has ended stays as it ended, also after its Job was cleaned up.
  if (before.attempt === spec.attempt && FINAL.includes(before.state ?? '')) {
    return afterEnd(resource, spec, before, world)
  }
  if (spec.cancel) return cancelled(resource, spec, { world, runs })
  return running(resource, spec, { world, runs })
}

/** What has ended keeps its workspace as long as its Job, and is itself removed a day later. */
function afterEnd(resource: KubeObject, spec: NemoTrainingJobSpec, before: Status, world: World): Plan {
  const { name } = resource.metadata
  const remove: ObjectRef[] = [{ apiVersion: 'v1', kind: 'Secret', name: namesOf(name).token }]
  const age = world.now.getTime() - (Date.parse(before.completionTime ?? '') || world.now.getTime())
  const ttl = (spec.ttlSecondsAfterFinished ?? DEFAULT_TTL_S) * 1000
  const ends = [ttl, ttl + DAY_MS]
  // A failed job may be run again, and goes on then.
  if (age >= ttl && before.state !== 'Failed' && !spec.workspace?.claimName) {
    remove.push({ apiVersion: 'v1', kind: 'PersistentVolumeClaim', name: workspaceClaim(name, spec) })
  }
  if (age >= ttl + DAY_MS) remove.push(refOf(resource))
  const next = ends.find((end) => end > age)
  return {
    apply: [],
    remove,
    status: resource.status as Record<string, unknown>,
    ...(next === undefined ? {} : { requeueAfterMs: Math.min(next - age + 1000, DAY_MS) }),
  }
}

function cancelled(
  resource: KubeObject,
  spec: NemoTrainingJobSpec,
  { world, runs }: { world: World; runs: KubeObject[] },
): Plan {
  const pods = world.list('v1', 'Pod', { [JOB_LABEL]: resource.metadata.name })
  const isEnded = (pod: KubeObject) => ['Succeeded', 'Failed'].includes(podStatus(pod).phase ?? '')
  const isLeft = runs.length > 0 || pods.some((pod) => !isEnded(pod))
  const found: Observation = isLeft
    ? { state: 'Running', reason: 'Cancelling', message: 'the pod is ending' }
    : { state: 'Cancelled', reason: 'Cancelled', message: 'cancelled by spec.cancel' }
  return {
    apply: [],
    remove: runs.map(refOf),
    status: statusOf(resource, world, found, spec),
  }
}

function running(
  resource: KubeObject,
  spec: NemoTrainingJobSpec,
  { world, runs }: { world: World; runs: KubeObject[] },
): Plan {
  const secret = world.defaults.internalTokenSecret
  const token = tokenFrom(world.get({ apiVersion: 'v1', kind: 'Secret', name: secret }))
  if (!token) {
    const message = `Secret ${secret} with the key token is missing: install deploy/nemo-instances, or make it with 16 characters or more`
    const status = statusOf(resource, world, { state: 'Pending', reason: 'TokenMissing', message }, spec)
    return { apply: [], status }
  }
  const scheduler = schedulerOf(spec, world)
  const wanted = runObject(resource, { spec, kind: scheduler.kind, world })
  const ofAttempt = runs.filter(
    (run) => run.metadata.annotations?.['open-nemo.io/attempt'] === String(spec.attempt),
  )
  const begun = ofAttempt.find((run) => templateHash(run) !== templateHash(wanted) && hasBegun(run, world))
  const current = begun ?? ofAttempt.find((run) => templateHash(run) === templateHash(wanted))
  const old = runs.filter((run) => run !== current)
  const stops = scheduler.kind === 'volcano' && spec.suspend === true
  const found = current
    ? observe(current, world)
    : { state: 'Pending' as const, reason: 'Created', message: 'waiting for the pod to be made' }
  const isOver = found.state === 'Failed'
  const apply = [tokenObject(resource, jobToken(token, spec.jobId))]
  const workspace = workspaceObject(resource, spec)
  if (workspace) apply.push(workspace)
  // Pods of an older run would share the workspace with those of a new one.
  const isFree = old.every((run) => podsOf(run, world).length === 0)
  if (!begun && isFree && !isOver && !stops && found.state !== 'Completed') apply.push(wanted)
  const remove = [
    ...old,
    ...(stops && current ? [current] : []),
    ...(isOver && current ? [current] : []),
  ].map(refOf)
  return {
    apply: isOver ? [] : apply,
    remove,
    status: statusOf(resource, world, stops ? suspended() : found, spec, [scheduler.condition]),
    events: eventsOf(resource, { found, old, attempt: spec.attempt }),
    ...(FINAL.includes(found.state) || !current ? {} : { requeueAfterMs: waitMs(current, world) }),
  }
}

function suspended(): Observation {
  return { state: 'Pending', reason: 'Suspended', message: 'suspended: set spec.suspend to false to go on' }
}

function schedulerOf(
  spec: NemoTrainingJobSpec,
  world: World,
): { kind: 'job' | 'volcano'; condition: Condition } {
  const wanted = spec.scheduler?.type ?? 'job'
  const told = (isMet: boolean, reason: string, message: string) =>
    condition('Scheduler', isMet, reason, message)
  if (wanted === 'runai') {
    return {
      kind: 'job',
      condition: told(false, 'NotSupported', 'Run:ai is not supported: the job runs as a Job of Kubernetes'),
    }
  }
  if (wanted === 'job')
    return { kind: 'job', condition: told(true, 'Kubernetes', 'runs as a Job of Kubernetes') }
  const isThere = [VOLCANO_JOB, POD_GROUP].every(({ apiVersion, kind }) => world.served(apiVersion, kind))
  if (isThere) return { kind: 'volcano', condition: told(true, 'Volcano', 'runs as a Job of Volcano') }
  const message =
    'Volcano is not installed (no batch.volcano.sh CRDs): the job runs as a Job of Kubernetes; set install.volcano=true in deploy/nemo-infra'
  return { kind: 'job', condition: told(false, 'VolcanoAbsent', message) }
}

function tokenFrom(secret: KubeObject | undefined): string | undefined {
  const value = (secret?.data as { token?: string } | undefined)?.token
  return value ? Buffer.from(value, 'base64').toString('utf8').trim() || undefined : undefined
}

const refOf = ({ apiVersion, kind, metadata }: KubeObject): ObjectRef => ({
  apiVersion,
  kind,
  name: metadata.name,
})

function eventsOf(
  resource: KubeObject,
  { found, old, attempt }: { found: Observation; old: KubeObject[]; attempt: number },
): PlannedEvent[] {
  const before = (resource.status ?? {}) as Status
  const events: PlannedEvent[] = []
  if (old.some((run) => run.metadata.annotations?.['open-nemo.io/attempt'] === String(attempt))) {
    const message = 'image, resources or scheduling changed while the pod was waiting: it is made anew'
    events.push({ type: 'Normal', reason: 'Recreated', message })
  }
  const isNews = before.state !== found.state || before.attempt !== attempt
  // That it was made, its objects and their times tell.
  if (isNews && found.reason !== 'Created') {
    const type = found.state === 'Failed' ? 'Warning' : 'Normal'
    events.push({ type, reason: found.reason, message: found.message })
  }
  return events
}

function statusOf(
  resource: KubeObject,
  world: World,
  found: Observation,
  spec?: NemoTrainingJobSpec,
  more: Condition[] = [],
): Record<string, unknown> {
  const { state, reason, message, exitCode, podName, startTime } = found
  const limit =
    spec && reason === 'OOMKilled' ? wholeQuantity(spec.resources?.limits?.memory ?? '6Gi') : undefined
  const isEnd = FINAL.includes(state)
  const conditions = [
    condition('Ready', state === 'Running' || state === 'Completed', reason, message),
    condition(
      'Failed',
      state === 'Failed',
      state === 'Failed' ? reason : 'NotFailed',
      state === 'Failed' ? message : '',
    ),
    ...more,
  ]
  return {
    state,
    reason,
    message,
    attempt: spec?.attempt ?? 1,
    observedGeneration: resource.metadata.generation,
    ...(exitCode === undefined ? {} : { exitCode }),
    ...(podName ? { podName } : {}),
    ...(startTime ? { startTime } : {}),
    ...(limit === undefined ? {} : { memoryLimitBytes: limit }),
    ...(isEnd ? { completionTime: world.now.toISOString().replace(/\.\d+Z$/, 'Z') } : {}),
    conditions: withTimes(resource, conditions, world.now),
  }
}
