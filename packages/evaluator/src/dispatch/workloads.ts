// SPDX-License-Identifier: Apache-2.0
import type { Container, PodSpec, Volume } from './types.ts'

type Env = Record<string, string | undefined>
type Manifest = Record<string, unknown>

const LABEL = 'app.kubernetes.io/managed-by'
const JOB_ANNOTATION = 'open-nemo.io/evaluation-job'
/** Seconds that what has ended stays to be looked at. */
const KEPT_SECONDS = 3600
const COPIED = [
  'securityContext',
  'imagePullSecrets',
  'nodeSelector',
  'tolerations',
  'affinity',
  'priorityClassName',
  'enableServiceLinks',
]
/** Those that the spec of a Workflow has too, by the same names. */
const OF_WORKFLOWS = ['securityContext', 'imagePullSecrets', 'nodeSelector', 'tolerations', 'affinity']
/** What Kubernetes mounts by itself. */
const OWN_TOKEN = /^kube-api-access-/

/**
 * The spec of a pod that runs one job, made from that of the evaluator's own pod: same image, environment (its
 * references to Secrets stay references), security and place. Volumes that one pod alone may hold become empty folders.
 */
export function podSpecOf(own: PodSpec, env: Env, job: string): PodSpec {
  const main = own.containers[0]
  if (!main) throw new Error("the evaluator's own pod has no container")
  const volumes = (own.volumes ?? []).filter((volume) => !OWN_TOKEN.test(volume.name)).map(shareable)
  const container: Container = {
    name: 'evaluate',
    image: env.EVAL_CONTAINER || main.image || '',
    ...pick(main, ['imagePullPolicy', 'env', 'envFrom', 'resources', 'securityContext', 'workingDir']),
    ...(main.command ? { command: main.command } : {}),
    args: ['evaluate-job', job],
    volumeMounts: (main.volumeMounts ?? []).filter((mount) => !OWN_TOKEN.test(mount.name)),
  }
  return {
    ...pick(own, COPIED),
    serviceAccountName: env.SERVICE_ACCOUNT || own.serviceAccountName || 'default',
    restartPolicy: 'Never',
    containers: [container],
    volumes,
  }
}

/** What takes an object with it when it goes. */
export interface Owner {
  apiVersion: string
  kind: string
  name: string
  uid: string
}

/** A batch Job with that pod. It is not tried again by Kubernetes: the job's own lease says who goes on. */
export function batchJob(args: { name: string; job: string; pod: PodSpec; owners?: Owner[] }): Manifest {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: metadataOf(args),
    spec: {
      backoffLimit: 0,
      ttlSecondsAfterFinished: KEPT_SECONDS,
      template: {
        metadata: { labels: { [LABEL]: 'nemo-evaluator' } },
        spec: { ...args.pod, automountServiceAccountToken: false },
      },
    },
  }
}

/**
 * An Argo Workflow with one step of that pod. Argo asks a registry for what an image begins with, which a cluster
 * without a way out cannot, so the command is said: `command` unless the pod has one.
 */
export function argoWorkflow(args: {
  name: string
  job: string
  pod: PodSpec
  owners?: Owner[]
  command: readonly string[]
}): Manifest {
  const { containers, volumes, serviceAccountName } = args.pod
  const { name: _name, ...container } = containers[0] ?? { name: '' }
  const { priorityClassName } = args.pod
  return {
    apiVersion: 'argoproj.io/v1alpha1',
    kind: 'Workflow',
    metadata: metadataOf(args),
    spec: {
      ...pick(args.pod, OF_WORKFLOWS),
      ...(priorityClassName == null ? {} : { podPriorityClassName: priorityClassName }),
      serviceAccountName,
      // Argo's own container in the pod reports with it, and the accounts of the charts give none by themselves.
      automountServiceAccountToken: true,
      entrypoint: 'evaluate',
      volumes,
      ttlStrategy: { secondsAfterCompletion: KEPT_SECONDS },
      templates: [{ name: 'evaluate', container: { command: args.command, ...container } }],
    },
  }
}

function metadataOf(args: { name: string; job: string; owners?: Owner[] }): Manifest {
  const { name, job, owners = [] } = args
  return {
    name,
    labels: { [LABEL]: 'nemo-evaluator' },
    annotations: { [JOB_ANNOTATION]: job },
    ...(owners.length > 0 ? { ownerReferences: owners } : {}),
  }
}

function shareable(volume: Volume): Volume {
  const isShareable = ['emptyDir', 'configMap', 'secret', 'projected', 'downwardAPI'].some(
    (source) => source in volume,
  )
  return isShareable ? volume : { name: volume.name, emptyDir: {} }
}

function pick(from: Record<string, unknown>, fields: string[]): Record<string, unknown> {
  return Object.fromEntries(
    fields.filter((field) => from[field] != null).map((field) => [field, from[field]]),
  )
}
