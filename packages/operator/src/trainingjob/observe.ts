// SPDX-License-Identifier: Apache-2.0
import type { KubeObject, World } from '../framework/types.ts'
import { lastWarning, podStatus, terminated, whyPending, whyQueued } from '../pod-basics/waiting.ts'
import { BATCH_JOB, CONTAINER, JOB_LABEL, POD_GROUP, TEMPLATE_HASH, VOLCANO_JOB } from './names.ts'

/** How far the current attempt is, as the cluster shows it. */
export interface Observation {
  state: 'Pending' | 'Running' | 'Completed' | 'Failed' | 'Cancelled'
  reason: string
  message: string
  exitCode?: number
  podName?: string
  startTime?: string
}

interface RunStatus {
  startTime?: string
  conditions?: { type: string; status: string; reason?: string; message?: string }[]
  state?: { phase?: string; message?: string; reason?: string }
}

/** Volcano takes a job up within a second or two. */
const VOLCANO_SILENT_MS = 15_000
const DAY_MS = 86_400_000
const VOLCANO_FAILED = ['Failed', 'Aborted', 'Terminated']
/** The job controller's own events, which tell of quotas and admission. */
const REFUSALS = ['FailedCreate', 'PodGroupPending', 'FailedScheduling', 'Unschedulable']

/** All runs of a training job, of either kind, newest first. */
export function runsOf(resource: KubeObject, world: World): KubeObject[] {
  const mine = { [JOB_LABEL]: resource.metadata.name }
  return [BATCH_JOB, VOLCANO_JOB]
    .flatMap(({ apiVersion, kind }) => world.list(apiVersion, kind, mine))
    .sort((a, b) => (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''))
}

/** The pods of a run, newest first. */
export function podsOf(run: KubeObject, world: World): KubeObject[] {
  return world
    .list('v1', 'Pod', { [JOB_LABEL]: run.metadata.labels?.[JOB_LABEL] ?? '' })
    .filter((pod) => pod.metadata.ownerReferences?.some((owner) => owner.uid === run.metadata.uid))
    .sort((a, b) => (b.metadata.creationTimestamp ?? '').localeCompare(a.metadata.creationTimestamp ?? ''))
}

/** Whether a container of the run has ever started: such a run is not thrown away for a change of scheduling. */
export function hasBegun(run: KubeObject, world: World): boolean {
  return podsOf(run, world).some((pod) => {
    const status = podStatus(pod)
    return status.phase !== 'Pending' || (status.containerStatuses ?? []).some((each) => each.state?.running)
  })
}

/** The run that a gang of Volcano was made for. */
export function runOfGroup(group: KubeObject | undefined, world: World): KubeObject | undefined {
  const owner = group?.metadata.ownerReferences?.find(({ kind }) => kind === VOLCANO_JOB.kind)
  return owner && world.get({ ...VOLCANO_JOB, name: owner.name })
}

export const templateHash = (run: KubeObject): string => run.metadata.annotations?.[TEMPLATE_HASH] ?? ''

export function observe(run: KubeObject, world: World): Observation {
  const pods = podsOf(run, world)
  const [pod] = pods
  const ended = pods.map((each) => terminated(each, CONTAINER)).find((each) => each !== undefined)
  const facts = {
    ...(pod ? { podName: pod.metadata.name } : {}),
    ...(startOf(run) ? { startTime: startOf(run) } : {}),
    ...(ended && ended.exitCode !== 0 ? { exitCode: ended.exitCode } : {}),
  } as Partial<Observation>
  if (pods.some((each) => terminated(each, CONTAINER)?.reason === 'OOMKilled')) {
    const message =
      'the pod used more memory than its limit: use a shorter max_seq_length or a smaller micro_batch_size, or raise trainingConfig.resources.limits.memory'
    return { ...facts, state: 'Failed', reason: 'OOMKilled', message }
  }
  const end = endOf(run)
  // The exit code is only that of the signal, by which nobody should take it for a pod that was killed.
  const { exitCode: _signal, ...timed } = facts
  if (end?.reason === 'DeadlineExceeded' || (!end && isOverdue(run, world))) {
    return { ...timed, state: 'Failed', reason: 'DeadlineExceeded', message: overdueMessage(run) }
  }
  if (end?.state === 'Completed') {
    const { exitCode: _none, ...rest } = facts
    return { ...rest, ...end }
  }
  if (end) return { ...facts, ...end, message: [end.message, endMessage(ended)].filter(Boolean).join('; ') }
  return { ...facts, ...progressOf(run, pod, world) }
}

interface RunSpec {
  activeDeadlineSeconds?: number
  tasks?: { template: { spec: { activeDeadlineSeconds?: number } } }[]
}

function deadlineOf(run: KubeObject): number | undefined {
  const { activeDeadlineSeconds, tasks } = run.spec as RunSpec
  return activeDeadlineSeconds ?? tasks?.[0]?.template.spec.activeDeadlineSeconds
}

/** Volcano limits pods, not jobs: it would start another pod with as much time again. */
function isOverdue(run: KubeObject, world: World): boolean {
  const deadline = deadlineOf(run)
  if (run.apiVersion !== VOLCANO_JOB.apiVersion || deadline === undefined) return false
  return ageOf(run, world) > deadline * 1000
}

/** After which time a run has to be looked at although nothing changed; nothing else than Volcano needs it. */
export function waitMs(run: KubeObject, world: World): number | undefined {
  if (run.apiVersion !== VOLCANO_JOB.apiVersion) return undefined
  const age = ageOf(run, world)
  const deadline = deadlineOf(run)
  const ends = [VOLCANO_SILENT_MS, ...(deadline === undefined ? [] : [deadline * 1000 + 1])]
  const waits = ends.map((end) => end - age).filter((ms) => ms > 0)
  return waits.length > 0 ? Math.min(...waits, DAY_MS) : undefined
}

function ageOf(run: KubeObject, world: World): number {
  const now = world.now.getTime()
  return now - (Date.parse(run.metadata.creationTimestamp ?? '') || now)
}

function overdueMessage(run: KubeObject): string {
  return `training took longer than ${deadlineOf(run)} s: raise trainingConfig.timeout, or train fewer epochs`
}

function endMessage(ended: { exitCode: number; reason?: string } | undefined): string {
  return ended && ended.exitCode !== 0 ? `the trainer ended with exit code ${ended.exitCode}` : ''
}

function startOf(run: KubeObject): string | undefined {
  const { startTime } = (run.status ?? {}) as RunStatus
  // Volcano keeps no such time.
  return startTime ?? (run.apiVersion === VOLCANO_JOB.apiVersion ? run.metadata.creationTimestamp : undefined)
}

function endOf(run: KubeObject): Pick<Observation, 'state' | 'reason' | 'message'> | undefined {
  const status = (run.status ?? {}) as RunStatus
  const is = (type: string) => status.conditions?.find((each) => each.type === type && each.status === 'True')
  if (run.apiVersion === BATCH_JOB.apiVersion) {
    if (is('Complete')) return { state: 'Completed', reason: 'Completed', message: 'training is done' }
    const failed = is('Failed')
    if (!failed) return undefined
    const message = failed.message ?? 'the Job failed'
    return { state: 'Failed', reason: failed.reason ?? 'JobFailed', message }
  }
  const phase = status.state?.phase ?? ''
  if (phase === 'Completed') return { state: 'Completed', reason: 'Completed', message: 'training is done' }
  if (!VOLCANO_FAILED.includes(phase)) return undefined
  const message = status.state?.message || `Volcano ended the job: ${phase}`
  return { state: 'Failed', reason: status.state?.reason || phase, message }
}

function progressOf(
  run: KubeObject,
  pod: KubeObject | undefined,
  world: World,
): Pick<Observation, 'state' | 'reason' | 'message'> {
  const isSuspended = (run.spec as { suspend?: boolean }).suspend === true
  if (isSuspended)
    return { state: 'Pending', reason: 'Suspended', message: 'suspended: set spec.suspend to false to go on' }
  if (pod && podStatus(pod).phase === 'Running') {
    const problem = whyPending(pod)
    if (!problem) return { state: 'Running', reason: 'Running', message: `pod ${pod.metadata.name} trains` }
    return { state: 'Pending', reason: 'PodNotStarted', message: problem }
  }
  const gang = run.apiVersion === VOLCANO_JOB.apiVersion ? whyGangWaits(run, world) : undefined
  if (gang) return { state: 'Pending', reason: 'WaitingForGang', message: gang }
  const waits = pod && whyPending(pod)
  if (waits) return { state: 'Pending', reason: 'PodPending', message: waits }
  const refused = lastWarning(world, { kind: 'Job', name: run.metadata.name }, REFUSALS)
  if (refused) return { state: 'Pending', reason: 'PodNotMade', message: refusalHint(refused) }
  return { state: 'Pending', reason: 'Created', message: 'waiting for the pod to be made' }
}

function refusalHint(message: string): string {
  if (/exceeded quota/.test(message))
    return `${message}; raise the ResourceQuota or lower trainingConfig.resources`
  if (/security context constraint|PodSecurity/i.test(message)) {
    return `${message}; see the table of SCCs in deploy/nemo-instances/README.md`
  }
  return message
}

/** Volcano tells on the PodGroup, in conditions and in events, not on the Job. */
function whyGangWaits(run: KubeObject, world: World): string | undefined {
  const { name, uid } = run.metadata
  const group = world.get({ ...POD_GROUP, name: `${name}-${uid}` }) ?? world.get({ ...POD_GROUP, name })
  const queue = (run.spec as { queue?: string }).queue
  if (!group) {
    const isSilent = !(run.status as RunStatus | undefined)?.state?.phase
    if (!isSilent || ageOf(run, world) < VOLCANO_SILENT_MS) return undefined
    return `Volcano has not taken the job up: its controller is down, or the queue ${queue} does not exist or is not open`
  }
  const status = (group.status ?? {}) as RunStatus & { phase?: string }
  if (status.phase === 'Running') return undefined
  const unschedulable = status.conditions?.findLast(
    (each) => each.type === 'Unschedulable' && each.status === 'True',
  )
  const cause = unschedulable
    ? `${unschedulable.reason}: ${unschedulable.message}`
    : whyQueued(world, group.metadata.name)
  return cause ? `queue ${queue}: ${cause}` : undefined
}
