// SPDX-License-Identifier: Apache-2.0
import { KINDS, VERSION } from '@open-nemo/contract/kubernetes/crds.ts'
import type { Resource } from './api.ts'

const core = (plural: string): Resource => ({ apiVersion: 'v1', plural })

export const SECRETS = core('secrets')
export const CONFIG_MAPS = core('configmaps')
export const SERVICES = core('services')
export const PODS = core('pods')
export const CLAIMS = core('persistentvolumeclaims')
export const QUOTAS = core('resourcequotas')
export const LIMIT_RANGES = core('limitranges')
export const NAMESPACES: Resource = { ...core('namespaces'), cluster: true }
export const NODES: Resource = { ...core('nodes'), cluster: true }
export const STORAGE_CLASSES: Resource = {
  apiVersion: 'storage.k8s.io/v1',
  plural: 'storageclasses',
  cluster: true,
}
export const CRDS: Resource = {
  apiVersion: 'apiextensions.k8s.io/v1',
  plural: 'customresourcedefinitions',
  cluster: true,
}
export const ROLE_BINDINGS_EVERYWHERE: Resource = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  plural: 'rolebindings',
  cluster: true,
}
export const SCCS: Resource = {
  apiVersion: 'security.openshift.io/v1',
  plural: 'securitycontextconstraints',
  cluster: true,
}
export const DEPLOYMENTS: Resource = { apiVersion: 'apps/v1', plural: 'deployments' }
export const STATEFUL_SETS: Resource = { apiVersion: 'apps/v1', plural: 'statefulsets' }

/** The path of a kind that the operators reconcile. Throws for any other. */
export function customResource(kind: string): Resource {
  const found = KINDS.find((k) => k.kind === kind)
  if (!found) throw new Error(`no kind ${kind}; there are ${KINDS.map((k) => k.kind).join(', ')}`)
  return { apiVersion: `${found.group}/${VERSION}`, plural: found.plural }
}
