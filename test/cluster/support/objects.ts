// SPDX-License-Identifier: Apache-2.0
import type { Site } from './site.ts'

/** What changes by itself in a cluster that nobody touches, and the addresses of Services, which are listed themselves. */
const RESTLESS = /^(events|events\.events\.k8s\.io|componentstatuses|ipaddresses\.networking\.k8s\.io)$/
const LINE = '{range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name}{"\\n"}{end}'

/** Every object of the cluster, as `Kind namespace/name`, but for those that change by themselves. */
export async function allObjects({ kubectl }: Pick<Site, 'kubectl'>): Promise<Set<string>> {
  const resources = (await kubectl('api-resources', '--verbs=list', '-o', 'name')).trim().split('\n')
  const kinds = resources.filter((name) => !RESTLESS.test(name)).join()
  const lines = await kubectl('get', kinds, '-A', '--ignore-not-found', '-o', `jsonpath=${LINE}`)
  return new Set(
    lines
      .trim()
      .split('\n')
      .filter((object) => !/^Lease kube-/.test(object)),
  )
}

/** Objects that are there now and were not before, but for those that the predicate lets pass. */
export function added(
  before: Set<string>,
  after: Set<string>,
  isKept: (object: string) => boolean,
): string[] {
  return [...after].filter((object) => !before.has(object) && !isKept(object)).sort()
}
