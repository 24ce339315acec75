// SPDX-License-Identifier: Apache-2.0
import type { NimCacheSpec } from '@open-nemo/contract/kubernetes/nim-kinds.ts'
import type { OperatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import type { KubeObject } from '../framework/types.ts'
import { nonrootAccess } from '../pod-basics/access.ts'
import { mergeEnv, network, placement } from '../pod-basics/placement.ts'
import { containerSecurity, podSecurity, requiredScc } from '../pod-basics/security.ts'
import { hashOf } from '../trainingjob/names.ts'
import { type Puller, STORE } from './source.ts'

type Fields = Record<string, unknown>

export const CACHE_LABEL = 'nim-cache'
export const CONTAINER = 'nim-cache-ctr'
export const NO_ROOM = 28
const BACKOFF = 5
const TTL_S = 600
const DEFAULT_SIZE = '10Gi'

export const labelsOf = (cache: string): Record<string, string> => ({
  'app.kubernetes.io/name': cache,
  'app.kubernetes.io/component': 'model-puller',
  'app.kubernetes.io/managed-by': 'open-nemo',
  [CACHE_LABEL]: cache,
})

/** The claim that holds the model. */
export const claimName = (cache: string, spec: NimCacheSpec): string =>
  spec.storage.pvc?.name || `${cache}-pvc`

/** The claim, when the cache makes it; it stays when the cache goes. */
export function claimObject(cache: string, spec: NimCacheSpec): KubeObject | undefined {
  const { pvc } = spec.storage
  if (!pvc?.create) return undefined
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: claimName(cache, spec),
      labels: { 'app.kubernetes.io/name': cache, 'app.kubernetes.io/managed-by': 'open-nemo' },
      ...(pvc.annotations ? { annotations: pvc.annotations } : {}),
    },
    spec: {
      accessModes: [pvc.volumeAccessMode || 'ReadWriteOnce'],
      ...(pvc.storageClass ? { storageClassName: pvc.storageClass } : {}),
      resources: { requests: { storage: pvc.size || DEFAULT_SIZE } },
    },
  }
}

/** The account of the pod that pulls, and what else it needs. */
export function accountObjects(cache: string, puller: Puller, defaults: OperatorDefaults): KubeObject[] {
  const name = `${cache}-puller`
  const account: KubeObject = {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name, labels: labelsOf(cache) },
    automountServiceAccountToken: false,
  }
  return [account, ...nonrootAccess(name, puller.maker, { defaults, labels: labelsOf(cache) })]
}

/** The Job that brings the model. Its name has a hash of its pod, which cannot be changed in place. */
export function jobObject(
  cache: string,
  spec: NimCacheSpec,
  on: { puller: Puller; defaults: OperatorDefaults },
): KubeObject {
  const template = podTemplate(cache, spec, on)
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: `${cache.slice(0, 50)}-job-${hashOf(template)}`, labels: labelsOf(cache) },
    spec: {
      backoffLimit: BACKOFF,
      ttlSecondsAfterFinished: TTL_S,
      // The volume may be one that only one pod can mount.
      podReplacementPolicy: 'Failed',
      podFailurePolicy: {
        rules: [
          { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
          { action: 'FailJob', onExitCodes: { containerName: CONTAINER, operator: 'In', values: [NO_ROOM] } },
        ],
      },
      template,
    },
  }
}

function podTemplate(
  cache: string,
  spec: NimCacheSpec,
  { puller, defaults }: { puller: Puller; defaults: OperatorDefaults },
): { metadata: Fields; spec: Fields } {
  const { maker } = puller
  const outside = network(defaults, { proxy: spec.proxy, maker })
  const subPath = spec.storage.pvc?.subPath ? { subPath: spec.storage.pvc.subPath } : {}
  return {
    metadata: {
      labels: labelsOf(cache),
      annotations: { ...requiredScc(maker), 'sidecar.istio.io/inject': 'false' },
    },
    spec: {
      restartPolicy: 'Never',
      serviceAccountName: `${cache}-puller`,
      automountServiceAccountToken: false,
      securityContext: podSecurity(defaults, maker, spec),
      ...(spec.runtimeClassName ? { runtimeClassName: spec.runtimeClassName } : {}),
      ...placement(defaults, { ...spec, pullSecrets: [puller.pullSecret] }),
      containers: [
        {
          name: CONTAINER,
          image: puller.image,
          ...(puller.command ? { command: puller.command } : {}),
          ...(puller.args ? { args: puller.args } : {}),
          env: mergeEnv(spec.env, [...puller.env, ...outside.env]),
          ...(puller.envFrom.length > 0 ? { envFrom: puller.envFrom } : {}),
          resources: resourcesOf(spec),
          securityContext: containerSecurity(maker),
          terminationMessagePolicy: 'FallbackToLogsOnError',
          volumeMounts: [
            { name: 'model-store', mountPath: STORE, ...subPath },
            { name: 'scratch', mountPath: '/scratch' },
            { name: 'tmp', mountPath: '/tmp' },
            ...puller.volumeMounts,
            ...outside.volumeMounts,
          ],
        },
      ],
      volumes: [
        { name: 'model-store', persistentVolumeClaim: { claimName: claimName(cache, spec) } },
        { name: 'scratch', emptyDir: {} },
        { name: 'tmp', emptyDir: {} },
        ...puller.volumes,
        ...outside.volumes,
      ],
    },
  }
}

function resourcesOf(spec: NimCacheSpec): Fields {
  const { cpu, memory } = spec.resources ?? {}
  const given = { ...(cpu ? { cpu } : {}), ...(memory ? { memory } : {}) }
  return {
    requests: { cpu: '100m', memory: '256Mi', ...given },
    limits: { memory: '1Gi', ...given },
  }
}
