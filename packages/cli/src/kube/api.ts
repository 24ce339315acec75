// SPDX-License-Identifier: Apache-2.0
import { isStatus, KubeClient, type KubeRequest } from '@open-nemo/operator/framework/client.ts'
import { loadConnection } from '@open-nemo/operator/framework/connection.ts'
import type { KubeObject } from '@open-nemo/operator/framework/types.ts'

export type { KubeObject }

/** A kind by the path that serves it; `cluster` for objects that are in no namespace. */
export interface Resource {
  apiVersion: string
  plural: string
  cluster?: boolean
}

/** The few calls that hooks and checks make. All throw KubeError but for the cases that they name. */
export interface Kube {
  namespace: string
  /** Undefined when there is no such object, or no such kind. */
  get(resource: Resource, name: string): Promise<KubeObject | undefined>
  /** Empty when the kind is not served. */
  list(resource: Resource, labels?: Record<string, string>): Promise<KubeObject[]>
  /** False when an object of that name is there already. */
  create(resource: Resource, object: KubeObject): Promise<boolean>
  /** Server-side apply of the whole object, taking over the fields it names. */
  apply(resource: Resource, object: KubeObject, manager: string): Promise<KubeObject>
  /** JSON merge patch; false when the object is gone. */
  merge(resource: Resource, name: string, patch: unknown): Promise<boolean>
  /** Deletes in the background; false when the object was gone. */
  remove(resource: Resource, name: string): Promise<boolean>
  /** Any path of the API server, for what is no object; undefined for 404. */
  raw(path: string): Promise<unknown>
}

/** The path of a kind, or of one object of it. */
export function pathOf(resource: Resource, namespace: string, name?: string): string {
  const root = resource.apiVersion.includes('/')
    ? `/apis/${resource.apiVersion}`
    : `/api/${resource.apiVersion}`
  const scope = resource.cluster ? '' : `/namespaces/${namespace}`
  return `${root}${scope}/${resource.plural}${name ? `/${name}` : ''}`
}

/** What `kubeOver` needs of a client. */
export type Requests = (request: KubeRequest) => Promise<unknown>

/** The calls over a client of the Kubernetes API. */
export function kubeOver(request: Requests, namespace: string): Kube {
  const unless = async <T>(code: number, call: Promise<unknown>): Promise<T | undefined> => {
    try {
      return (await call) as T
    } catch (err) {
      if (isStatus(err, code)) return undefined
      throw err
    }
  }
  return {
    namespace,
    get: (resource, name) => unless(404, request({ path: pathOf(resource, namespace, name) })),
    async list(resource, labels = {}) {
      const labelSelector = Object.entries(labels)
        .map(([key, value]) => `${key}=${value}`)
        .join(',')
      const query = { limit: 500, labelSelector: labelSelector || undefined }
      const items: KubeObject[] = []
      let next: string | undefined
      do {
        const page: { items?: KubeObject[]; metadata?: { continue?: string } } | undefined = await unless(
          404,
          request({ path: pathOf(resource, namespace), query: { ...query, continue: next } }),
        )
        items.push(...(page?.items ?? []))
        next = page?.metadata?.continue || undefined
      } while (next)
      return items
    },
    create: async (resource, body) =>
      (await unless(409, request({ method: 'POST', path: pathOf(resource, namespace), body }))) !== undefined,
    apply: (resource, body, fieldManager) =>
      request({
        method: 'PATCH',
        path: pathOf(resource, namespace, body.metadata.name),
        query: { fieldManager, force: true },
        contentType: 'application/apply-patch+yaml',
        body,
      }) as Promise<KubeObject>,
    merge: async (resource, name, body) =>
      (await unless(
        404,
        request({
          method: 'PATCH',
          path: pathOf(resource, namespace, name),
          contentType: 'application/merge-patch+json',
          body,
        }),
      )) !== undefined,
    remove: async (resource, name) =>
      (await unless(
        404,
        request({
          method: 'DELETE',
          path: pathOf(resource, namespace, name),
          body: { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' },
        }),
      )) !== undefined,
    raw: (path) => unless(404, request({ path })),
  }
}

/** The API server of the pod or the kubeconfig, in the namespace given or else its own. Throws ConfigError. */
export async function connect(
  env: Record<string, string | undefined>,
  namespace?: string,
): Promise<Kube & { request: Requests }> {
  const connection = await loadConnection(env)
  const client = new KubeClient(connection)
  const request: Requests = (r) => client.request(r)
  return { ...kubeOver(request, namespace ?? connection.namespace ?? 'default'), request }
}
