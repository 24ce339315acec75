// SPDX-License-Identifier: Apache-2.0
import { containersOf, podsOf } from '../pods.ts'
import type { Policy } from './types.ts'

const RESOURCES = ['requests', 'limits'].flatMap((kind) => [
  [kind, 'cpu'],
  [kind, 'memory'],
]) as [string, string][]
const PROBES = ['startupProbe', 'livenessProbe', 'readinessProbe']

/** Every container says what it needs and at most takes; those that go on running have all three probes. */
export const resourcesAndProbes: Policy = ({ objects }) =>
  podsOf(objects).flatMap((pod) =>
    containersOf(pod).flatMap((container) => {
      const ends = pod.owner.kind === 'Job' || pod.spec.initContainers?.includes(container)
      const lacking = [
        ...RESOURCES.filter(([kind, what]) => !container.resources?.[kind]?.[what]).map((path) =>
          path.join('.'),
        ),
        ...(ends ? [] : PROBES.filter((probe) => !container[probe])),
      ]
      return lacking.map((what) => `${pod.id}/${container.name} has no ${what}`)
    }),
  )

/** A volume that one node at a time may mount is never wanted by two pods: StatefulSet, or a Deployment that recreates. */
export const oneWriter: Policy = ({ objects }) =>
  podsOf(objects)
    .filter(({ owner, spec }) => {
      // biome-ignore lint/suspicious/noExplicitAny: volumes are of every kind
      const claims = (spec.volumes ?? []).some((volume: any) => volume.persistentVolumeClaim)
      return owner.kind === 'Deployment' && claims && owner.spec.strategy?.type !== 'Recreate'
    })
    .map(({ id }) => `${id} mounts a claim and rolls`)

/** No tag that moves, and no image without a tag. */
export const pinnedImages: Policy = ({ objects }) =>
  podsOf(objects)
    .flatMap((pod) => containersOf(pod).map((container) => ({ pod, image: String(container.image) })))
    .filter(
      ({ image }) => !/(@sha256:[0-9a-f]{64}|:[^:/]*\d[^:/]*)$/.test(image) || image.endsWith(':latest'),
    )
    .map(({ pod, image }) => `${pod.id}: ${image} is not pinned`)
