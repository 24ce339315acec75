// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from './helm.ts'

/** A pod that a rendered object makes, with the object it comes from. */
export interface Pod {
  owner: KubeObject
  /** `Deployment/name`, for messages. */
  id: string
  labels: Record<string, string>
  annotations: Record<string, string>
  // biome-ignore lint/suspicious/noExplicitAny: a pod's spec
  spec: any
}

/** The pods of Deployments, StatefulSets, DaemonSets, Jobs, CronJobs and plain pods. */
export function podsOf(objects: readonly KubeObject[]): Pod[] {
  return objects.flatMap((owner) => {
    const template =
      owner.kind === 'Pod'
        ? owner
        : owner.kind === 'CronJob'
          ? owner.spec.jobTemplate.spec.template
          : owner.spec?.template
    if (!template?.spec?.containers) return []
    const { labels = {}, annotations = {} } = template.metadata ?? {}
    return [{ owner, id: `${owner.kind}/${owner.metadata.name}`, labels, annotations, spec: template.spec }]
  })
}

/** Init containers and containers of a pod. */
export const containersOf = (pod: Pod) => [...(pod.spec.initContainers ?? []), ...pod.spec.containers]

/** All images of rendered objects, those too that settings of Argo name. */
export function imagesOf(objects: readonly KubeObject[]): string[] {
  const fromPods = podsOf(objects).flatMap((pod) => containersOf(pod).map((c) => c.image as string))
  // Whatever else names an image, such as the settings of a controller or a custom resource, does so in such a line.
  const fromSettings = objects
    .filter((object) => object.kind === 'ConfigMap')
    .flatMap((object) => Object.values((object.data ?? {}) as Record<string, string>))
    .flatMap((text) => [...text.matchAll(/^\s*(?:image|services|trainer): *"?([^\s"]+:[^\s"]+)"?$/gm)])
    .map((match) => match[1] ?? '')
  return [...new Set([...fromPods, ...fromSettings, ...imagesOfResources(objects)])].sort()
}

/** Images that custom resources name by `image: {repository, tag}` or as one string. */
function imagesOfResources(objects: readonly KubeObject[]): string[] {
  const found: string[] = []
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    const { image, repository, tag } = value as Record<string, unknown>
    if (typeof repository === 'string' && typeof tag === 'string') found.push(`${repository}:${tag}`)
    if (typeof image === 'string') found.push(image)
    for (const inner of Object.values(value)) walk(inner)
  }
  for (const object of objects) if (object.apiVersion.endsWith('nvidia.com/v1alpha1')) walk(object.spec)
  return found
}
