// SPDX-License-Identifier: Apache-2.0
import { SCHEMA_MARK } from '@open-nemo/contract/kubernetes/crds.ts'
import { isStatus, type KubeClient } from './client.ts'
import type { KubeObject } from './types.ts'

/** Finalizers that NVIDIA's operator puts on every resource it sees; ours puts none on anything. */
export const NVIDIA_FINALIZER = /^finalizer\.(nemo|nim)[a-z]+\.apps\.nvidia\.com$/i

/** `true` hands a resource to this operator although it looks like NVIDIA's, `false` takes it away. */
export const MANAGED_ANNOTATION = 'open-nemo.io/managed'

/**
 * Why this operator leaves a resource alone, or undefined when it reconciles it. In this order: the annotation
 * decides; a CRD that is not ours, or a finalizer of NVIDIA's operator, says that NVIDIA's operator is at work.
 */
export function standAsideReason(resource: KubeObject, crdIsOurs: boolean): string | undefined {
  const { annotations, finalizers } = resource.metadata
  const said = annotations?.[MANAGED_ANNOTATION]
  if (said === 'true') return undefined
  if (said === 'false')
    return `the annotation ${MANAGED_ANNOTATION} is "false": remove it to have this operator act`
  if (!crdIsOurs)
    return (
      `the CRD of ${resource.kind} is not Open NeMo's, so another operator manages it. ` +
      `Set the annotation ${MANAGED_ANNOTATION}: "true" to have this operator act`
    )
  const finalizer = finalizers?.find((f) => NVIDIA_FINALIZER.test(f))
  if (finalizer)
    return (
      `it carries ${finalizer}, so NVIDIA's operator manages it. If that operator is gone, remove the finalizer, ` +
      `or set the annotation ${MANAGED_ANNOTATION}: "true"`
    )
  return undefined
}

interface OpenApi {
  components?: { schemas?: Record<string, OpenApiSchema> }
}
interface OpenApiSchema {
  description?: string
  'x-kubernetes-group-version-kind'?: { kind: string }[]
}

/**
 * The kinds of an API version and whether their CRDs are Open NeMo's, told by the mark in the published schema: every
 * account may read that document, so no cluster-wide right is needed. A new CRD is in it seconds after it is served.
 */
export async function publishedKinds(client: KubeClient, apiVersion: string): Promise<Map<string, boolean>> {
  const path = `/openapi/v3/apis/${apiVersion}`
  const document: OpenApi = await client.request({ path }).catch((err) => {
    if (isStatus(err, 404)) return {}
    throw err
  })
  const kinds = new Map<string, boolean>()
  for (const schema of Object.values(document.components?.schemas ?? {}))
    for (const { kind } of schema['x-kubernetes-group-version-kind'] ?? [])
      kinds.set(kind, schema.description?.includes(SCHEMA_MARK) ?? false)
  return kinds
}
