// SPDX-License-Identifier: Apache-2.0
import { operatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import { slim } from '../framework/cache.ts'
import type { KubeObject, World } from '../framework/types.ts'

export interface FakeWorld extends World {
  objects: KubeObject[]
}

/** A world of given objects, for tests of plans. `served` are kinds of CRDs beside those of Kubernetes. */
export function fakeWorld(
  objects: KubeObject[] = [],
  options: { defaults?: Record<string, unknown>; served?: string[]; now?: string } = {},
): FakeWorld {
  const world: FakeWorld = {
    objects,
    now: new Date(options.now ?? '2026-11-24T12:00:00Z'),
    namespace: 'ns',
    defaults: operatorDefaults.parse(options.defaults ?? {}),
    get: (ref) =>
      world.objects.find(
        (each) =>
          each.apiVersion === ref.apiVersion && each.kind === ref.kind && each.metadata.name === ref.name,
      ),
    list: (apiVersion, kind, selector = {}) =>
      world.objects.filter(
        (each) =>
          each.apiVersion === apiVersion &&
          each.kind === kind &&
          Object.entries(selector).every(([key, value]) => slim(each).metadata.labels?.[key] === value),
      ),
    served: (apiVersion, kind) =>
      !/volcano|kserve|lws/.test(apiVersion) || (options.served ?? []).includes(`${apiVersion}/${kind}`),
  }
  return world
}

/** A resource as the API server would hand it out. */
export function resource(
  apiVersion: string,
  kind: string,
  spec: Record<string, unknown>,
  more: { name?: string; status?: Record<string, unknown> } = {},
): KubeObject {
  const name = more.name ?? 'sample'
  return {
    apiVersion,
    kind,
    metadata: { name, namespace: 'ns', uid: `uid-of-${name}`, generation: 3 },
    spec,
    ...(more.status ? { status: more.status } : {}),
  }
}

/** An object that is in the cluster: with a uid, an owner and a time. */
export function live(
  object: KubeObject,
  owner: KubeObject,
  status: Record<string, unknown> = {},
): KubeObject {
  return {
    ...object,
    metadata: {
      ...object.metadata,
      uid: `uid-of-${object.metadata.name}`,
      creationTimestamp: object.metadata.creationTimestamp ?? '2026-11-24T11:59:30Z',
      ownerReferences: [
        {
          apiVersion: owner.apiVersion,
          kind: owner.kind,
          name: owner.metadata.name,
          uid: owner.metadata.uid ?? '',
          controller: true,
        },
      ],
    },
    status,
  }
}
