// SPDX-License-Identifier: Apache-2.0
// An API server in memory for tests of hooks: names, labels, finalizers and rights; no schema and no controllers.
import { KubeError } from '@open-nemo/operator/framework/client.ts'
import { type Kube, type KubeObject, pathOf, type Resource } from './api.ts'

export interface FakeKube extends Kube {
  /** Objects by their path. */
  objects: Map<string, KubeObject>
  /** Calls that change something, such as `DELETE nimcaches/x`. */
  writes: string[]
  put(resource: Resource, ...objects: KubeObject[]): void
  /** Calls that throw 403, by verb and plural, such as `list nodes`. */
  forbidden: Set<string>
  /** Answers of `raw`. */
  paths: Record<string, unknown>
  /** Runs after each delete, as a controller would. */
  onDelete?: (resource: Resource, name: string) => void
}

/** An object with what every object has. */
export const object = (
  apiVersion: string,
  kind: string,
  name: string,
  rest: Record<string, unknown> & { metadata?: Partial<KubeObject['metadata']> } = {},
): KubeObject => ({ apiVersion, kind, ...rest, metadata: { name, ...rest.metadata } })

const carries = (o: KubeObject, labels: Record<string, string>) =>
  Object.entries(labels).every(([key, value]) => o.metadata.labels?.[key] === value)

export function fakeKube(namespace = 'nemo'): FakeKube {
  const objects: FakeKube['objects'] = new Map()
  const allow = (verb: string, resource: Resource) => {
    if (fake.forbidden.has(`${verb} ${resource.plural}`)) {
      throw new KubeError({ status: 403, reason: 'Forbidden', message: `cannot ${verb} ${resource.plural}` })
    }
  }
  const at = (resource: Resource, name: string) => pathOf(resource, namespace, name)
  const fake: FakeKube = {
    namespace,
    objects,
    writes: [],
    forbidden: new Set(),
    paths: {},
    put(resource, ...list) {
      for (const o of list) objects.set(at(resource, o.metadata.name), o)
    },
    async get(resource, name) {
      allow('get', resource)
      return objects.get(at(resource, name))
    },
    async list(resource, labels = {}) {
      allow('list', resource)
      const prefix = `${pathOf(resource, namespace)}/`
      return [...objects]
        .filter(([path, o]) => path.startsWith(prefix) && carries(o, labels))
        .map(([, o]) => o)
    },
    async create(resource, o) {
      allow('create', resource)
      if (objects.has(at(resource, o.metadata.name))) return false
      fake.writes.push(`CREATE ${resource.plural}/${o.metadata.name}`)
      fake.put(resource, o)
      return true
    },
    async apply(resource, o) {
      allow('patch', resource)
      fake.writes.push(`APPLY ${resource.plural}/${o.metadata.name}`)
      fake.put(resource, o)
      return o
    },
    async merge(resource, name, patch) {
      allow('patch', resource)
      const found = objects.get(at(resource, name))
      if (!found) return false
      fake.writes.push(`PATCH ${resource.plural}/${name}`)
      const { metadata } = patch as { metadata?: Partial<KubeObject['metadata']> }
      Object.assign(found.metadata, metadata)
      if (found.metadata.deletionTimestamp && !found.metadata.finalizers?.length)
        objects.delete(at(resource, name))
      return true
    },
    async remove(resource, name) {
      allow('delete', resource)
      const found = objects.get(at(resource, name))
      if (!found) return false
      fake.writes.push(`DELETE ${resource.plural}/${name}`)
      if (found.metadata.finalizers?.length) found.metadata.deletionTimestamp = '2026-01-01T00:00:00Z'
      else objects.delete(at(resource, name))
      fake.onDelete?.(resource, name)
      return true
    },
    async raw(path) {
      return fake.paths[path]
    },
  }
  return fake
}
