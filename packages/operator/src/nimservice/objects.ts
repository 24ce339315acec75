// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from '../framework/types.ts'
import { nonrootAccess } from '../pod-basics/access.ts'
import { labelsOf, type PodInput, podTemplate, portsOf } from './pod.ts'

type Fields = Record<string, unknown>

export const INFERENCE_SERVICE = { apiVersion: 'serving.kserve.io/v1beta1', kind: 'InferenceService' }

/** The NIM's own account; with NVIDIA's image on OpenShift it may use the SCC `nonroot`. */
export function accountObjects(input: PodInput): KubeObject[] {
  const { name, maker, world } = input
  const labels = labelsOf(name)
  return [
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name, labels },
      automountServiceAccountToken: false,
    },
    ...nonrootAccess(name, maker, { defaults: world.defaults, labels }),
  ]
}

export function serviceObject({ name, spec }: PodInput): KubeObject {
  const service = spec.expose?.service
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name,
      labels: labelsOf(name),
      ...(service?.annotations ? { annotations: service.annotations } : {}),
    },
    spec: {
      type: service?.type || 'ClusterIP',
      selector: { app: name },
      ports: portsOf(spec).map(({ name: port, containerPort }) => ({
        name: port,
        port: containerPort,
        targetPort: port,
        protocol: 'TCP',
        ...(port === 'grpc' ? { appProtocol: 'grpc' } : { appProtocol: 'http' }),
      })),
    },
  }
}

export function deploymentObject(input: PodInput): KubeObject {
  const { name, spec, storage } = input
  // A volume of one node, or a GPU, is free only when the old pod is gone.
  const isExclusive =
    usesGpu(spec.resources) || ('persistentVolumeClaim' in storage.volume && storage.isExclusive)
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, labels: labelsOf(name) },
    spec: {
      ...(spec.scale?.enabled ? {} : { replicas: spec.replicas ?? 1 }),
      strategy: isExclusive
        ? { type: 'Recreate' }
        : { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
      selector: { matchLabels: { app: name } },
      template: podTemplate(input, `${name}-ctr`),
    },
  }
}

/** The same pod under KServe. */
export function inferenceService(input: PodInput): KubeObject {
  const { name, spec } = input
  const template = podTemplate(input, 'kserve-container')
  const { minReplicas, maxReplicas } = spec.scale?.enabled ? (spec.scale.hpa ?? {}) : {}
  const replicas = spec.scale?.enabled
    ? {
        ...(minReplicas === undefined ? {} : { minReplicas }),
        ...(maxReplicas === undefined ? {} : { maxReplicas }),
      }
    : { minReplicas: spec.replicas ?? 1, maxReplicas: spec.replicas ?? 1 }
  return {
    ...INFERENCE_SERVICE,
    metadata: {
      name,
      labels: labelsOf(name),
      annotations: { 'serving.kserve.io/deploymentMode': 'RawDeployment', ...spec.annotations },
    },
    spec: {
      predictor: {
        ...replicas,
        ...(template.metadata as Fields),
        ...(template.spec as Fields),
        // Old and new revision together would want the GPU twice.
        deploymentStrategy: { type: 'Recreate' },
      },
    },
  }
}

export function usesGpu(resources: unknown): boolean {
  const { limits, requests } = (resources ?? {}) as { limits?: Fields; requests?: Fields }
  return Object.keys({ ...requests, ...limits }).some((key) => /gpu|\/mig-/.test(key))
}
