// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from './helm.ts'
import { podsOf } from './pods.ts'

/** What the pods of a chart that go on running ask for, and the volumes they keep. */
export interface Totals {
  pods: number
  cpuMillis: number
  cpuLimitMillis: number
  memoryMi: number
  memoryLimitMi: number
  storageGi: number
}

const MEMORY: Record<string, number> = { Ki: 1 / 1024, Mi: 1, Gi: 1024, Ti: 1024 * 1024 }

/** Mebibytes of a quantity such as `96Mi`. */
export function mebibytes(quantity: string | number): number {
  const match = /^(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti)$/.exec(String(quantity))
  if (!match) throw new Error(`${quantity}: write memory and storage in Ki, Mi, Gi or Ti`)
  return Number(match[1]) * (MEMORY[match[2] ?? ''] ?? 0)
}

/** Thousandths of a core of a quantity such as `25m` or `"1"`. */
export const millis = (quantity: string | number): number =>
  String(quantity).endsWith('m') ? Number.parseFloat(String(quantity)) : Number(quantity) * 1000

/** Adds up requests and limits of Deployments and StatefulSets, and the volume claims. */
export function totals(objects: readonly KubeObject[]): Totals {
  const sum: Totals = {
    pods: 0,
    cpuMillis: 0,
    cpuLimitMillis: 0,
    memoryMi: 0,
    memoryLimitMi: 0,
    storageGi: 0,
  }
  const add = ({ requests, limits }: Asked) => {
    sum.cpuMillis += millis(requests.cpu)
    sum.cpuLimitMillis += millis(limits.cpu ?? 0)
    sum.memoryMi += mebibytes(requests.memory)
    sum.memoryLimitMi += mebibytes(limits.memory)
  }
  for (const pod of podsOf(objects)) {
    if (pod.owner.kind === 'Job') continue
    sum.pods += pod.owner.spec.replicas ?? 1
    for (const { resources } of pod.spec.containers) add(resources)
  }
  // What the operators make of a resource: one pod of each service.
  for (const { resources } of objects.flatMap(servicesOf)) {
    sum.pods += 1
    add(resources)
  }
  const claims = [
    ...objects.filter((object) => object.kind === 'PersistentVolumeClaim'),
    ...objects.flatMap((object) => object.spec?.volumeClaimTemplates ?? []),
  ].map((claim) => claim.spec.resources.requests.storage)
  const made = objects.flatMap(({ spec }) => spec?.pvc?.size ?? spec?.storage?.pvc?.size ?? [])
  for (const size of [...claims, ...made]) sum.storageGi += mebibytes(size) / 1024
  return sum
}

interface Asked {
  requests: { cpu: string; memory: string }
  limits: { cpu?: string; memory: string }
}

/** The services that a custom resource stands for. */
function servicesOf({ apiVersion, kind, spec }: KubeObject): { resources: Asked }[] {
  if (!apiVersion.startsWith('apps.nvidia.com/') || kind === 'NIMCache') return []
  return kind === 'NIMPipeline'
    ? spec.services.map((service: { spec: { resources: Asked } }) => service.spec)
    : [spec]
}

/** The totals of some renderings as a table in Markdown. */
export function totalsTable(rows: Record<string, Totals>): string {
  const cores = (value: number) => (value / 1000).toFixed(2).replace(/\.?0+$/, '')
  const gibi = (value: number) => `${(value / 1024).toFixed(1).replace(/\.0$/, '')} GiB`
  return [
    '| | pods | CPU requested | CPU at most | memory requested | memory at most | volumes |',
    '|---|---|---|---|---|---|---|',
    ...Object.entries(rows).map(
      ([name, t]) =>
        `| ${name} | ${t.pods} | ${cores(t.cpuMillis)} | ${cores(t.cpuLimitMillis)} | ${gibi(t.memoryMi)} | ${gibi(t.memoryLimitMi)} | ${t.storageGi} GiB |`,
    ),
  ].join('\n')
}
