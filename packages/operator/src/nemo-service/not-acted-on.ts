// SPDX-License-Identifier: Apache-2.0
import type { CommonSpec } from './types.ts'

/** Paths that every kind acts on. */
export const COMMON_PATHS = [
  'image.repository',
  'image.tag',
  'image.pullPolicy',
  'image.pullSecrets',
  'command',
  'args',
  'env',
  'labels',
  'annotations',
  'nodeSelector',
  'tolerations',
  'affinity',
  'resources',
  'replicas',
  'runtimeClass',
  'expose.service.type',
  'expose.service.port',
  'expose.service.annotations',
  'expose.ingress',
  'expose.router.hostDomainName',
  'expose.router.annotations',
  'expose.router.ingress',
  'expose.router.gateway',
  'metrics.enabled',
  'metrics.serviceMonitor',
  'scale',
]

/** The common paths that this spec acts on: those of a feature only while it is on. */
export function commonPaths(spec: CommonSpec): string[] {
  const { expose, metrics, scale } = spec
  const older = expose?.ingress?.enabled === true
  const route = expose?.router?.gateway?.httpRoutesEnabled === true
  const off = [
    ...(older ? ['expose.router.ingress'] : ['expose.ingress']),
    ...(route ? [] : ['expose.router.gateway']),
    ...(route || (expose?.router?.ingress && !older)
      ? []
      : ['expose.router.hostDomainName', 'expose.router.annotations']),
    ...(metrics?.enabled ? [] : ['metrics.serviceMonitor']),
    ...(scale?.enabled ? ['replicas'] : ['scale']),
  ]
  return COMMON_PATHS.filter((path) => !off.includes(path))
}

/** The fields of a spec that are set and not among the paths acted on: the topmost path of each. */
export function notActedOn(spec: unknown, acted: string[], path = ''): string[] {
  if (isEmpty(spec) || acted.includes(path)) return []
  const inside = acted.some((a) => path === '' || a.startsWith(`${path}.`))
  if (!inside || typeof spec !== 'object' || Array.isArray(spec)) return [path]
  return Object.entries(spec as object).flatMap(([key, value]) =>
    notActedOn(value, acted, path ? `${path}.${key}` : key),
  )
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return true
  return typeof value === 'object' && Object.values(value as object).every(isEmpty)
}
