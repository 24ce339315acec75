// SPDX-License-Identifier: Apache-2.0
import { ABOUT_LABEL, aboutValue } from '../framework/cache.ts'
import type { KubeObject, World } from '../framework/types.ts'

interface PodStatus {
  phase?: string
  reason?: string
  message?: string
  conditions?: { type: string; status: string; reason?: string; message?: string }[]
  initContainerStatuses?: ContainerStatus[]
  containerStatuses?: ContainerStatus[]
}
interface ContainerStatus {
  name: string
  restartCount?: number
  state?: { waiting?: { reason?: string; message?: string }; terminated?: Terminated; running?: object }
  lastState?: { terminated?: Terminated }
}
export interface Terminated {
  exitCode: number
  reason?: string
  message?: string
  finishedAt?: string
}

const HINTS: Record<string, string> = {
  ImagePullBackOff: 'check the image name, imagePullSecrets and global.imageRegistry',
  ErrImagePull: 'check the image name, imagePullSecrets and global.imageRegistry',
  ErrImageNeverPull: 'bring the image onto the node or change imagePullPolicy',
  InvalidImageName: 'mend the image name',
  CreateContainerConfigError: 'make the Secret or ConfigMap that it names',
  CrashLoopBackOff: 'see the log of the container',
  Unschedulable: 'lower the requests, or give tolerations and a nodeSelector that fit the nodes',
}

export const podStatus = (pod: KubeObject): PodStatus => (pod.status ?? {}) as PodStatus

/** Why a pod does not run yet, with what to do about it; undefined when it runs or has ended. */
export function whyPending(pod: KubeObject): string | undefined {
  const status = podStatus(pod)
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]
  for (const { name, state } of containers) {
    const waiting = state?.waiting
    if (!waiting?.reason || ['ContainerCreating', 'PodInitializing'].includes(waiting.reason)) continue
    return withHint(waiting.reason, `container ${name}: ${waiting.reason}: ${waiting.message ?? ''}`)
  }
  const scheduled = status.conditions?.find((each) => each.type === 'PodScheduled')
  if (scheduled?.status === 'False') {
    return withHint('Unschedulable', `${scheduled.reason ?? 'Unschedulable'}: ${scheduled.message ?? ''}`)
  }
  return status.phase === 'Pending' ? 'the pod is being prepared (volumes, images)' : undefined
}

function withHint(reason: string, text: string): string {
  const hint = HINTS[reason]
  const cause = text.replace(/[\s:.]+$/, '')
  return hint ? `${cause}; ${hint}` : cause
}

/** How the container of this name ended last, now or before its restart. */
export function terminated(pod: KubeObject, container: string): Terminated | undefined {
  const found = podStatus(pod).containerStatuses?.find((each) => each.name === container)
  return found?.state?.terminated ?? found?.lastState?.terminated
}

/** The newest warning about an object, such as a quota that does not allow its pods. */
export function lastWarning(
  world: World,
  about: { kind: string; name: string },
  reasons?: readonly string[],
): string | undefined {
  const isMeant = ({ type, reason }: KubeObject) =>
    type === 'Warning' && (!reasons || reasons.includes(String(reason)))
  return textOf(newest(eventsAbout(world, about).filter(isMeant)))
}

/** Why Volcano keeps a gang in its queue: it says that in an Event that is no warning, and warns of less. */
export function whyQueued(world: World, group: string): string | undefined {
  const events = eventsAbout(world, { kind: 'PodGroup', name: group })
  const rejected = events.filter(({ type, reason }) => type === 'Normal' && reason === 'Unschedulable')
  return textOf(newest(rejected)) ?? textOf(newest(events.filter(({ type }) => type === 'Warning')))
}

const eventsAbout = (world: World, { kind, name }: { kind: string; name: string }) =>
  world.list('v1', 'Event', { [ABOUT_LABEL]: aboutValue(kind, name) })

const newest = (events: KubeObject[]) => events.toSorted((a, b) => timeOf(b) - timeOf(a))[0]

const textOf = (event: KubeObject | undefined) => event && `${event.reason}: ${event.message}`

function timeOf(event: KubeObject): number {
  return (
    Date.parse(String(event.lastTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp ?? 0)) || 0
  )
}
