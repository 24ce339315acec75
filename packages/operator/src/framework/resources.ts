// SPDX-License-Identifier: Apache-2.0
import { KINDS, VERSION } from '@open-nemo/contract/kubernetes/crds.ts'
import { isStatus, type KubeClient } from './client.ts'

/** Where the objects of a kind are found. */
export interface Resource {
  apiVersion: string
  kind: string
  plural: string
  namespaced: boolean
}

/** Kinds of Kubernetes itself that operators use, with their plurals. */
export const BUILT_IN: [string, Record<string, string>][] = [
  [
    'v1',
    {
      ConfigMap: 'configmaps',
      Event: 'events',
      PersistentVolumeClaim: 'persistentvolumeclaims',
      Pod: 'pods',
      Secret: 'secrets',
      Service: 'services',
      ServiceAccount: 'serviceaccounts',
    },
  ],
  ['apps/v1', { Deployment: 'deployments', StatefulSet: 'statefulsets' }],
  ['batch/v1', { Job: 'jobs' }],
  ['autoscaling/v2', { HorizontalPodAutoscaler: 'horizontalpodautoscalers' }],
  ['networking.k8s.io/v1', { Ingress: 'ingresses', NetworkPolicy: 'networkpolicies' }],
  ['rbac.authorization.k8s.io/v1', { Role: 'roles', RoleBinding: 'rolebindings' }],
  ['coordination.k8s.io/v1', { Lease: 'leases' }],
]

export const kindKey = (apiVersion: string, kind: string) => `${apiVersion}/${kind}`

/** The path of a kind's objects, of one namespace or of all, or of one object. */
export function resourcePath(resource: Resource, namespace?: string, name?: string): string {
  const root = resource.apiVersion.includes('/')
    ? `/apis/${resource.apiVersion}`
    : `/api/${resource.apiVersion}`
  const scope = namespace && resource.namespaced ? `/namespaces/${encodeURIComponent(namespace)}` : ''
  return `${root}${scope}/${resource.plural}${name ? `/${encodeURIComponent(name)}` : ''}`
}

/** Knows Kubernetes' own kinds and asks the API server about all others. */
export class Resources {
  readonly #client: KubeClient
  readonly #known = new Map<string, Resource>()
  readonly #served = new Set<string>()

  constructor(client: KubeClient) {
    this.#client = client
    for (const [apiVersion, kinds] of BUILT_IN)
      for (const [kind, plural] of Object.entries(kinds)) {
        this.#add({ apiVersion, kind, plural, namespaced: true })
        this.#served.add(kindKey(apiVersion, kind))
      }
    for (const { group, kind, plural } of KINDS)
      this.#add({ apiVersion: `${group}/${VERSION}`, kind, plural, namespaced: true })
  }

  #add(resource: Resource) {
    this.#known.set(kindKey(resource.apiVersion, resource.kind), resource)
  }

  /** Whether the API server served the kind when it was last asked. */
  served(apiVersion: string, kind: string): boolean {
    return this.#served.has(kindKey(apiVersion, kind))
  }

  /** What is known of a kind, without asking. */
  find(apiVersion: string, kind: string): Resource | undefined {
    return this.#known.get(kindKey(apiVersion, kind))
  }

  /** Asks which kinds of an API version are served and remembers the answer. Throws KubeError but for 404. */
  async discover(apiVersion: string): Promise<void> {
    const path = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
    const answer = await this.#client.request({ path }).catch((err) => {
      if (isStatus(err, 404)) return { resources: [] }
      throw err
    })
    for (const key of this.#served) if (key.startsWith(`${apiVersion}/`)) this.#served.delete(key)
    for (const found of answer.resources as { name: string; kind: string; namespaced: boolean }[]) {
      if (found.name.includes('/')) continue
      this.#add({ apiVersion, kind: found.kind, plural: found.name, namespaced: found.namespaced })
      this.#served.add(kindKey(apiVersion, found.kind))
    }
  }
}
