// SPDX-License-Identifier: Apache-2.0
import type { KubeObject, PlannedEvent, World } from '../framework/types.ts'
import { condition } from '../pod-basics/conditions.ts'
import { whyPending } from '../pod-basics/waiting.ts'

interface DeploymentStatus {
  observedGeneration?: number
  replicas?: number
  updatedReplicas?: number
  availableReplicas?: number
  conditions?: { type: string; status: string; reason?: string; message?: string }[]
}

/** How `whyPending` begins when nothing is wrong. */
const BEING_PREPARED = 'the pod is being prepared'

export interface Readiness {
  state: 'Ready' | 'NotReady' | 'Failed'
  reason: string
  message: string
  availableReplicas: number
}

/** Whether a Deployment is rolled out and available and, if not, why: the pods say it best. */
export function readiness(name: string, world: World): Readiness {
  const live = world.get({ apiVersion: 'apps/v1', kind: 'Deployment', name })
  const status = (live?.status ?? {}) as DeploymentStatus
  const wanted = (live?.spec as { replicas?: number } | undefined)?.replicas ?? 1
  const available = status.availableReplicas ?? 0
  const notReady = (reason: string, message: string): Readiness => ({
    state: 'NotReady',
    reason,
    message,
    availableReplicas: available,
  })
  if (!live) return notReady('Creating', 'its pods are being made')
  if (wanted === 0) return notReady('ScaledDown', 'spec.replicas is 0: raise it to have it run')
  const { updatedReplicas = 0, replicas = 0, observedGeneration = 0 } = status
  const rolledOut =
    observedGeneration >= (live.metadata.generation ?? 0) &&
    updatedReplicas >= wanted &&
    replicas <= updatedReplicas
  if (rolledOut && available >= wanted)
    return {
      state: 'Ready',
      reason: 'Ready',
      message: `${available} of ${wanted} available`,
      availableReplicas: available,
    }
  const cause = whyNot(name, status, world)
  return notReady(
    cause ? 'PodsNotReady' : 'RollingOut',
    cause ?? `${available} of ${wanted} available, starting`,
  )
}

function whyNot(name: string, status: DeploymentStatus, world: World): string | undefined {
  const pods = world.list('v1', 'Pod', { app: name }).filter((p) => !p.metadata.deletionTimestamp)
  const newestFirst = pods.sort((a, b) => created(b).localeCompare(created(a)))
  for (const pod of newestFirst) {
    const cause = whyPending(pod)
    if (cause && !cause.startsWith(BEING_PREPARED)) return cause
  }
  // No pod at all: a quota or an admission plugin said no, and the ReplicaSet says which.
  const failure = status.conditions?.find((c) => c.type === 'ReplicaFailure' && c.status === 'True')
  if (failure) return `${failure.reason}: ${failure.message}. Change what that says, or the quota or policy`
  const slow = status.conditions?.find((c) => c.type === 'Progressing' && c.status === 'False')
  return slow ? `${slow.reason}: ${slow.message}; see the log of its pods` : undefined
}

const created = (o: KubeObject) => o.metadata.creationTimestamp ?? ''

/** Status and Events of a resource. */
export function statusFrom(
  found: Readiness,
  extra: { notes: string[]; foreignImage: string | undefined; failed?: boolean },
): { status: Record<string, unknown>; events: PlannedEvent[] } {
  const ready = found.state === 'Ready'
  const conditions = [
    condition('Ready', ready, found.reason, found.message),
    condition(
      'Failed',
      found.state === 'Failed',
      found.state === 'Failed' ? found.reason : 'NotFailed',
      found.state === 'Failed' ? found.message : '',
    ),
    ...(extra.notes.length > 0
      ? [condition('FieldsNotActedOn', true, 'NoEffectHere', extra.notes.join('; '))]
      : []),
    ...(extra.foreignImage
      ? [condition('ForeignImage', true, 'RunsAsItsMakerSays', extra.foreignImage)]
      : []),
  ]
  const quiet = ['Ready', 'Creating', 'RollingOut', 'ScaledDown'].includes(found.reason)
  const events: PlannedEvent[] = quiet
    ? ready
      ? [{ type: 'Normal', reason: 'Ready', message: 'all pods are available' }]
      : []
    : [{ type: 'Warning', reason: found.reason, message: found.message }]
  return {
    status: { state: found.state, availableReplicas: found.availableReplicas, conditions },
    events,
  }
}
