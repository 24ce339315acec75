// SPDX-License-Identifier: Apache-2.0
import type { ServiceName } from '@open-nemo/contract'
import type { z } from 'zod'
import type { KubeObject, ObjectRef, World } from '../framework/types.ts'
import type { ImageMaker } from '../pod-basics/images.ts'

export type Fields = Record<string, unknown>

/** The fields that all five kinds share, as their schemas give them. */
export interface CommonSpec {
  image: { repository: string; tag: string; pullPolicy?: string; pullSecrets?: string[] }
  command?: string[]
  args?: string[]
  env?: (Fields & { name: string })[]
  labels?: Record<string, string>
  annotations?: Record<string, string>
  nodeSelector?: Record<string, string>
  tolerations?: Fields[]
  affinity?: Fields
  resources?: Fields
  replicas?: number
  userID?: number
  groupID?: number
  runtimeClass?: string
  expose?: {
    service?: { type?: string; port?: number; annotations?: Record<string, string> }
    ingress?: { enabled?: boolean; annotations?: Record<string, string>; spec?: Fields }
    router?: {
      hostDomainName?: string
      annotations?: Record<string, string>
      ingress?: { ingressClass?: string; tlsSecretName?: string }
      gateway?: { name?: string; namespace?: string; httpRoutesEnabled?: boolean }
    }
  }
  metrics?: {
    enabled?: boolean
    serviceMonitor?: {
      additionalLabels?: Record<string, string>
      annotations?: Record<string, string>
      interval?: string
      scrapeTimeout?: string
    }
  }
  scale?: {
    enabled?: boolean
    annotations?: Record<string, string>
    hpa?: { minReplicas?: number; maxReplicas?: number; metrics?: Fields[]; behavior?: Fields }
  }
}

/** What a kind's builder is given. */
export interface BuildInput<S> {
  name: string
  namespace: string
  resource: KubeObject
  spec: S
  world: World
  maker: ImageMaker
  /** The image as it is pulled, with the installation's registry. */
  image: string
}

/** What is particular to one resource of a kind. */
export interface Build {
  /** What has to be there first and is not: each with cause and fix. No pod is made while there is one. */
  missing?: string[]
  env: Fields[]
  volumes?: Fields[]
  mounts?: Fields[]
  /** Objects beside those of every kind: a Secret, a ConfigMap, a claim. */
  objects?: KubeObject[]
  initContainers?: Fields[]
  /** Rights of the pod's ServiceAccount; then its token is mounted. */
  rules?: Fields[]
  extraPorts?: { name: string; port: number }[]
  /** What is asked for elsewhere than in the spec and is not acted on. */
  notes?: string[]
}

export interface NemoKind<S> {
  kind: string
  plural: string
  service: ServiceName
  schema: z.ZodType<S>
  /** Container port; the Service's is `expose.service.port`. */
  port: number
  probes: { startup: string; live: string; ready: string }
  /** Labels of the pods that the Service selects. */
  selector: ('app' | 'name' | 'instance')[]
  /** Paths of the spec, beside the common ones, that reach a pod or an object. */
  acted: string[]
  references(spec: S, name: string): ObjectRef[]
  build(input: BuildInput<S>): Build
}
