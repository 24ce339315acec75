// SPDX-License-Identifier: Apache-2.0
import type { NemoTrainingJobSpec } from '@open-nemo/contract/kubernetes/training-job.ts'
import type { KubeObject, World } from '../framework/types.ts'
import { BATCH_JOB, CONTAINER, hashOf, JOB_LABEL, namesOf, TEMPLATE_HASH, VOLCANO_JOB } from './names.ts'
import { labelsOf, podTemplate, workspaceClaim } from './pod.ts'

/** Exit codes that another try cannot change: a `failed` event, wrong arguments, a job that nobody wants. */
const FINAL_CODES = [1, 2, 3]
export const DEFAULT_TTL_S = 3600
const DEFAULT_SIZE = '10Gi'
const TASK = 'trainer'

/** Where a run is scheduled: by Kubernetes itself, or in a gang by Volcano. */
export type RunKind = 'job' | 'volcano'

/** The run of the current attempt. Its name has a hash of its pod, since the pod of a Job cannot be changed. */
export function runObject(
  resource: KubeObject,
  args: { spec: NemoTrainingJobSpec; kind: RunKind; world: World },
): KubeObject {
  const { spec, kind, world } = args
  const { name } = resource.metadata
  const template = podTemplate(name, spec, world.defaults)
  const queue = spec.scheduler?.queue || world.defaults.volcanoQueue
  const hash = hashOf([template, kind, kind === 'volcano' ? queue : ''])
  const metadata = {
    name: namesOf(name).run(spec.attempt, hash),
    labels: labelsOf(name),
    annotations: { [TEMPLATE_HASH]: hash, 'open-nemo.io/attempt': String(spec.attempt) },
  }
  return kind === 'volcano'
    ? { ...VOLCANO_JOB, metadata, spec: volcanoSpec(spec, template, queue) }
    : { ...BATCH_JOB, metadata, spec: batchSpec(spec, template) }
}

function batchSpec(spec: NemoTrainingJobSpec, template: Record<string, unknown>) {
  return {
    completions: 1,
    parallelism: 1,
    backoffLimit: spec.backoffLimit,
    // Two pods may not train in one workspace.
    podReplacementPolicy: 'Failed',
    suspend: spec.suspend ?? false,
    ...(spec.activeDeadlineSeconds ? { activeDeadlineSeconds: spec.activeDeadlineSeconds } : {}),
    ttlSecondsAfterFinished: spec.ttlSecondsAfterFinished ?? DEFAULT_TTL_S,
    podFailurePolicy: {
      rules: [
        { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        {
          action: 'FailJob',
          onExitCodes: { containerName: CONTAINER, operator: 'In', values: FINAL_CODES },
        },
      ],
    },
    template,
  }
}

/** With all that Volcano's webhooks would fill in: without a queue, a name or a minimum such a Job hangs silently. */
function volcanoSpec(
  spec: NemoTrainingJobSpec,
  template: { metadata: Record<string, unknown>; spec: Record<string, unknown> },
  queue: string,
) {
  const deadline = spec.activeDeadlineSeconds ? { activeDeadlineSeconds: spec.activeDeadlineSeconds } : {}
  return {
    schedulerName: 'volcano',
    queue,
    minAvailable: 1,
    maxRetry: Math.max(1, spec.backoffLimit),
    ttlSecondsAfterFinished: spec.ttlSecondsAfterFinished ?? DEFAULT_TTL_S,
    ...(spec.scheduler?.priorityClassName ? { priorityClassName: spec.scheduler.priorityClassName } : {}),
    policies: [
      ...FINAL_CODES.map((exitCode) => ({ exitCode, action: 'TerminateJob' })),
      ...(spec.backoffLimit > 0 ? [{ event: 'PodFailed', action: 'RestartJob' }] : []),
      { event: 'PodEvicted', action: 'RestartJob' },
      { event: 'TaskCompleted', action: 'CompleteJob' },
    ],
    tasks: [
      {
        name: TASK,
        replicas: 1,
        minAvailable: 1,
        maxRetry: Math.max(1, spec.backoffLimit),
        template: { ...template, spec: { ...template.spec, ...deadline, schedulerName: 'volcano' } },
      },
    ],
  }
}

/** The claim with the checkpoints; unlike other claims it goes with its job, being of no use to anybody else. */
export function workspaceObject(resource: KubeObject, spec: NemoTrainingJobSpec): KubeObject | undefined {
  if (spec.workspace?.claimName) return undefined
  const { name, uid = '' } = resource.metadata
  const { storageClass, accessMode, size } = spec.workspace ?? {}
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: workspaceClaim(name, spec),
      labels: labelsOf(name),
      ownerReferences: [
        {
          apiVersion: resource.apiVersion,
          kind: resource.kind,
          name,
          uid,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: {
      accessModes: [accessMode || 'ReadWriteOnce'],
      ...(storageClass ? { storageClassName: storageClass } : {}),
      resources: { requests: { storage: size || DEFAULT_SIZE } },
    },
  }
}

export function tokenObject(resource: KubeObject, token: string): KubeObject {
  const { name } = resource.metadata
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: namesOf(name).token, labels: { ...labelsOf(name), [JOB_LABEL]: name } },
    type: 'Opaque',
    data: { token: Buffer.from(token).toString('base64') },
  }
}
