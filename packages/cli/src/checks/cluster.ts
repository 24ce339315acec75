// SPDX-License-Identifier: Apache-2.0
import { KINDS } from '@open-nemo/contract/kubernetes/crds.ts'
import { quantity } from '@open-nemo/contract/kubernetes/quantity.ts'
import { isOurs } from '../hooks/crds.ts'
import type { Kube, KubeObject } from '../kube/api.ts'
import { CRDS, LIMIT_RANGES, QUOTAS, SECRETS, SERVICES, STORAGE_CLASSES } from '../kube/resources.ts'
import type { Finding, Wanted } from './types.ts'

/** Looks at one thing; its failures other than a missing right are the API server's. */
export type Check = (kube: Kube, wanted: Wanted) => Promise<Omit<Finding, 'check'>[]>

/** CEL rules in CustomResourceDefinitions are on by default since then. */
const OLDEST_MINOR = 25

export const version: Check = async (kube) => {
  const { major, minor } = ((await kube.raw('/version')) ?? {}) as { major?: string; minor?: string }
  const number = Number.parseInt(minor ?? '', 10)
  if (Number.isNaN(number)) return [{ level: 'skipped', message: 'the API server does not say its version' }]
  if (major === '1' && number < OLDEST_MINOR) {
    return [{ level: 'error', message: `Kubernetes 1.${number} is too old: 1.${OLDEST_MINOR} is the oldest` }]
  }
  return [{ level: 'ok', message: `Kubernetes ${major}.${minor}` }]
}

export const crdOwners: Check = async (kube, wanted) => {
  const findings: Omit<Finding, 'check'>[] = []
  for (const { plural, group } of KINDS) {
    const name = `${plural}.${group}`
    const crd = await kube.get(CRDS, name)
    if (!crd && wanted.crdsInstalled) {
      findings.push({
        level: 'error',
        message: `CRD ${name} is missing: kubectl apply --server-side -f deploy/nemo-instances/crds`,
      })
    } else if (crd && !isOurs(crd)) {
      const owner = crd.metadata.annotations?.['meta.helm.sh/release-name'] ?? 'somebody else'
      findings.push({
        level: 'warning',
        message: `CRD ${name} was installed by ${owner}: where NVIDIA's operator serves it, ours stands aside`,
      })
    }
  }
  return findings.length > 0 ? findings : [{ level: 'ok', message: `${KINDS.length} CRDs are ours or free` }]
}

export const storage: Check = async (kube, wanted) => {
  const classes = await kube.list(STORAGE_CLASSES)
  if (wanted.storageClass) {
    const found = classes.some((c) => c.metadata.name === wanted.storageClass)
    const names = classes.map((c) => c.metadata.name).join(', ') || 'none'
    return found
      ? [{ level: 'ok', message: `storage class ${wanted.storageClass}` }]
      : [{ level: 'error', message: `no storage class ${wanted.storageClass}; there are: ${names}` }]
  }
  const fallback = classes.find(
    (c) => c.metadata.annotations?.['storageclass.kubernetes.io/is-default-class'] === 'true',
  )
  if (fallback) return [{ level: 'ok', message: `storage class ${fallback.metadata.name} (default)` }]
  return [
    {
      level: wanted.claims > 0 ? 'error' : 'warning',
      message:
        'the cluster has no default storage class, so that volumes stay Pending: name one with ' +
        'global.storageClass, or annotate one with storageclass.kubernetes.io/is-default-class=true',
    },
  ]
}

type Amounts = Record<string, string | number>

/** What all pods ask for together, by the names that quotas use. */
export function totals(wanted: Wanted): Record<string, number> {
  const sum: Record<string, number> = { persistentvolumeclaims: wanted.claims }
  const add = (name: string, amount: number) => {
    sum[name] = (sum[name] ?? 0) + amount
  }
  for (const { replicas, resources } of wanted.pods) {
    add('pods', replicas)
    for (const kind of ['requests', 'limits'] as const) {
      for (const [name, value] of Object.entries(resources[kind] ?? {})) {
        add(`${kind}.${name}`, quantity(value) * replicas)
        if (kind === 'requests') add(name, quantity(value) * replicas)
      }
    }
  }
  return sum
}

export const quota: Check = async (kube, wanted) => {
  const findings: Omit<Finding, 'check'>[] = []
  for (const each of await kube.list(QUOTAS)) {
    const { hard = {}, used = {} } = (each.status ?? {}) as { hard?: Amounts; used?: Amounts }
    for (const [name, needed] of Object.entries(totals(wanted))) {
      if (hard[name] === undefined) continue
      const free = quantity(hard[name]) - quantity(used[name] ?? 0)
      if (needed <= free) continue
      findings.push({
        level: 'error',
        message:
          `quota ${each.metadata.name} leaves too little ${name}: ${needed} more needed, ` +
          `${used[name] ?? 0} of ${hard[name]} used. Raise it, or lower the resources in the values.`,
      })
    }
  }
  return findings.length > 0 ? findings : [{ level: 'ok', message: 'no quota is too small' }]
}

export const limits: Check = async (kube, wanted) => {
  const findings: Omit<Finding, 'check'>[] = []
  for (const each of await kube.list(LIMIT_RANGES)) {
    const { limits: items = [] } = (each.spec ?? {}) as { limits?: { type?: string; max?: Amounts }[] }
    for (const item of items.filter((i) => i.type === 'Container')) {
      for (const { name: pod, resources } of wanted.pods) {
        for (const [name, needed] of Object.entries({ ...resources.requests, ...resources.limits })) {
          if (!(quantity(needed) > quantity(item.max?.[name]))) continue
          findings.push({
            level: 'error',
            message: `LimitRange ${each.metadata.name} allows ${item.max?.[name]} ${name} a container; ${pod} asks for ${needed}`,
          })
        }
      }
    }
  }
  return findings.length > 0 ? findings : [{ level: 'ok', message: 'no LimitRange is too small' }]
}

export const secrets: Check = async (kube, wanted) => {
  const findings: Omit<Finding, 'check'>[] = []
  for (const { name, keys, why } of wanted.secrets) {
    const found: KubeObject | undefined = await kube.get(SECRETS, name)
    const missing = keys.filter((key) => !(found?.data as Amounts | undefined)?.[key])
    if (!found) findings.push({ level: 'error', message: `Secret ${name} is missing (${why})` })
    else if (missing.length > 0) {
      findings.push({
        level: 'error',
        message: `Secret ${name} lacks the key ${missing.join(', ')} (${why})`,
      })
    }
  }
  return findings.length > 0
    ? findings
    : [{ level: 'ok', message: `${wanted.secrets.length} Secrets needed` }]
}

export const infrastructure: Check = async (kube, wanted) => {
  const missing: string[] = []
  for (const name of wanted.services) if (!(await kube.get(SERVICES, name))) missing.push(name)
  if (missing.length === 0) return [{ level: 'ok', message: `${wanted.services.length} Services needed` }]
  return [
    {
      level: 'error',
      message:
        `Service ${missing.join(', ')} missing in ${kube.namespace}: install deploy/nemo-infra there first, ` +
        'name its release with infra.releaseName, or give the hosts in the values',
    },
  ]
}
