// SPDX-License-Identifier: Apache-2.0
import type { OperatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'

export interface OwnerReference {
  apiVersion: string
  kind: string
  name: string
  uid: string
  controller?: boolean
  blockOwnerDeletion?: boolean
}

export interface ObjectMeta {
  name: string
  namespace?: string
  uid?: string
  resourceVersion?: string
  generation?: number
  creationTimestamp?: string
  deletionTimestamp?: string
  labels?: Record<string, string>
  annotations?: Record<string, string>
  finalizers?: string[]
  ownerReferences?: OwnerReference[]
}

/** An object as the API server sends it; caches drop its managedFields. */
export interface KubeObject {
  apiVersion: string
  kind: string
  metadata: ObjectMeta
  [field: string]: unknown
}

export interface ObjectRef {
  apiVersion: string
  kind: string
  name: string
  /** The resource's own namespace unless given. */
  namespace?: string
}

/** Read-only view of the watched caches, in the namespace of the resource at hand. */
export interface World {
  get(ref: ObjectRef): KubeObject | undefined
  /** Objects of a kind, those with all the labels of `selector` when it is given. */
  list(apiVersion: string, kind: string, selector?: Record<string, string>): KubeObject[]
  /** Whether the API server serves the kind, such as a CRD of Volcano or KServe. */
  served(apiVersion: string, kind: string): boolean
  now: Date
  defaults: OperatorDefaults
  namespace: string
}

export interface PlannedEvent {
  type: 'Normal' | 'Warning'
  reason: string
  message: string
}

/** What a resource asks for: the framework makes the cluster look like it and writes only differences. */
export interface Plan {
  /** Complete objects. They get an owner reference unless they are PersistentVolumeClaims. */
  apply: KubeObject[]
  /** Objects that must not exist; only those owned by the resource are deleted. */
  remove?: ObjectRef[]
  status: Record<string, unknown>
  events?: PlannedEvent[]
  /** Plan again after this time, where no watched object announces the change. */
  requeueAfterMs?: number
  /**
   * Rare I/O, such as a GET of a Service; runs after `apply`, and its failure is retried with back-off. Whether to plan
   * again at once, since there is news.
   */
  effect?: () => Promise<boolean>
}

export interface OwnedKind {
  apiVersion: string
  kind: string
  /** The cluster may lack it: it is watched once it is served. */
  optional?: boolean
  /** Watch only some of them, which saves memory: Kubernetes' own selector syntax. */
  labelSelector?: string
  fieldSelector?: string
}

export interface Controller {
  apiVersion: string
  kind: string
  plural: string
  /** Kinds that `plan` applies, removes or reads: they are watched, and changes of owned ones plan again. */
  owns: OwnedKind[]
  /** Objects that are named by the resource: a change of one plans again. Kinds: Secret, ConfigMap, any of `owns`. */
  references(resource: KubeObject): ObjectRef[]
  /**
   * Names of resources that a change of an object concerns although they neither own nor name it, such as a pod of
   * a Job of theirs: they are planned again.
   */
  concerns?(object: KubeObject, world: World): string[]
  /** Pure but for `effect`: the same resource and world give the same plan. */
  plan(resource: KubeObject, world: World): Plan | Promise<Plan>
}
