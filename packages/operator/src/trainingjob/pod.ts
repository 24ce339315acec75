// SPDX-License-Identifier: Apache-2.0
import type { OperatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import type { NemoTrainingJobSpec } from '@open-nemo/contract/kubernetes/training-job.ts'
import { type ImageMaker, imageFrom, makerOf } from '../pod-basics/images.ts'
import { mergeEnv, network, placement, variables } from '../pod-basics/placement.ts'
import { containerSecurity, podSecurity, requiredScc } from '../pod-basics/security.ts'
import { CONTAINER, JOB_LABEL, namesOf } from './names.ts'

type Fields = Record<string, unknown>

const WORKSPACE = '/pvc/workspace'
/** What fine-tuning the reference model takes on a CPU. */
const RESOURCES = { requests: { cpu: '250m', memory: '2Gi' }, limits: { memory: '6Gi' } }

/** The pod that trains: without a token of the API server, with the job's own for the customizer. */
export function podTemplate(
  name: string,
  spec: NemoTrainingJobSpec,
  defaults: OperatorDefaults,
): { metadata: Fields; spec: Fields } {
  const image = imageFrom(defaults, spec.image || defaults.images.trainer)
  const maker = makerOf(image)
  // Ours is Python as well, which knows nothing of the authorities that Node is told of.
  const outside = network(defaults, { maker: 'other' })
  const own = withoutDuplicates(spec)
  return {
    metadata: {
      labels: { ...spec.labels, ...labelsOf(name) },
      annotations: { ...spec.annotations, ...requiredScc(maker), 'sidecar.istio.io/inject': 'false' },
    },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      ...(spec.serviceAccountName ? { serviceAccountName: spec.serviceAccountName } : {}),
      ...(spec.scheduler?.priorityClassName ? { priorityClassName: spec.scheduler.priorityClassName } : {}),
      // A trainer that is told to stop writes a checkpoint and reports it.
      terminationGracePeriodSeconds: 60,
      securityContext: podSecurity(defaults, maker),
      ...placement(defaults, { ...spec, pullSecrets: spec.imagePullSecrets?.map((each) => each.name) }),
      containers: [
        {
          name: CONTAINER,
          image,
          ...(spec.imagePullPolicy ? { imagePullPolicy: spec.imagePullPolicy } : {}),
          // Our image begins with it by itself; one made on another has it on the PATH's Python.
          ...commandOf(spec, maker),
          ...(spec.args ? { args: spec.args } : {}),
          env: mergeEnv(spec.env, [...environment(name, spec), ...outside.env]),
          resources: spec.resources ?? RESOURCES,
          securityContext: containerSecurity(maker),
          volumeMounts: [
            { name: 'workspace', mountPath: spec.workspace?.mountPath || WORKSPACE },
            { name: 'tmp', mountPath: '/tmp' },
            ...own.mounts,
            ...outside.volumeMounts,
          ],
        },
      ],
      volumes: [
        { name: 'workspace', persistentVolumeClaim: { claimName: workspaceClaim(name, spec) } },
        { name: 'tmp', emptyDir: {} },
        ...own.volumes,
        ...outside.volumes,
      ],
    },
  }
}

function commandOf(spec: NemoTrainingJobSpec, maker: ImageMaker): Fields {
  if (spec.command?.length) return { command: spec.command }
  return maker === 'ours' ? {} : { command: ['python3', '-m', 'nemo_trainer.remote'] }
}

/** Labels by which the pods of a training job are found. */
export const labelsOf = (name: string): Record<string, string> => ({
  'app.kubernetes.io/name': 'nemo-training',
  'app.kubernetes.io/instance': name,
  'app.kubernetes.io/managed-by': 'open-nemo',
  [JOB_LABEL]: name,
})

/** The claim with the checkpoints. */
export function workspaceClaim(name: string, spec: NemoTrainingJobSpec): string {
  return spec.workspace?.claimName || namesOf(name).workspace
}

function environment(name: string, spec: NemoTrainingJobSpec): Fields[] {
  return [
    ...variables([
      ['NEMO_JOB_ID', spec.jobId],
      ['NEMO_JOB_URL', `${spec.callbackURL.replace(/\/+$/, '')}/internal/jobs/${spec.jobId}`],
      ['NEMO_WORKSPACE', spec.workspace?.mountPath || WORKSPACE],
      // Programs that look for a home find one that can be written to.
      ['HOME', '/tmp'],
    ]),
    {
      name: 'NEMO_JOB_TOKEN',
      valueFrom: { secretKeyRef: { name: namesOf(name).token, key: 'token' } },
    },
  ]
}

/** The job's own volumes; shared memory is added unless there is one. */
function withoutDuplicates(spec: NemoTrainingJobSpec): { volumes: Fields[]; mounts: Fields[] } {
  const taken = ['workspace', 'tmp', 'custom-ca']
  const volumes = (spec.volumes ?? []).filter((each) => !taken.includes(String(each.name)))
  const mounts = (spec.volumeMounts ?? []).filter((each) => !taken.includes(String(each.name)))
  if (!mounts.some((each) => each.mountPath === '/dev/shm')) {
    const sizeLimit = spec.sharedMemorySizeLimit ? { sizeLimit: spec.sharedMemorySizeLimit } : {}
    if (!volumes.some((each) => each.name === 'dshm')) {
      volumes.push({ name: 'dshm', emptyDir: { medium: 'Memory', ...sizeLimit } })
    }
    mounts.push({ name: 'dshm', mountPath: '/dev/shm' })
  }
  return { volumes, mounts }
}
