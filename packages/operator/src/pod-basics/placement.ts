// SPDX-License-Identifier: Apache-2.0
import type { OperatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import type { ImageMaker } from './images.ts'

type Fields = Record<string, unknown>

/** What a resource says itself about where its pods run and how their images are pulled. */
export interface Placement {
  nodeSelector?: Record<string, string> | undefined
  tolerations?: Fields[] | undefined
  affinity?: Fields | undefined
  pullSecrets?: (string | undefined)[] | undefined
}

/** Scheduling and pull secrets of a pod: the installation's tolerations and the resource's, else the resource's. */
export function placement(defaults: OperatorDefaults, own: Placement): Fields {
  const { scheduling, imagePullSecrets } = defaults
  const nodeSelector = { ...scheduling.nodeSelector, ...own.nodeSelector }
  const tolerations = distinct([...scheduling.tolerations, ...(own.tolerations ?? [])])
  const affinity = isFilled(own.affinity) ? own.affinity : scheduling.affinity
  const secrets = [...new Set([...(own.pullSecrets ?? []), ...imagePullSecrets])].filter(Boolean)
  return {
    ...(isFilled(nodeSelector) ? { nodeSelector } : {}),
    ...(tolerations.length > 0 ? { tolerations } : {}),
    ...(isFilled(affinity) ? { affinity } : {}),
    ...(secrets.length > 0 ? { imagePullSecrets: secrets.map((name) => ({ name })) } : {}),
  }
}

/** Variables, volumes and mounts for a custom CA and a proxy; none when there is neither. */
export function network(
  defaults: OperatorDefaults,
  own: { proxy?: Fields | undefined; maker?: ImageMaker } = {},
): { env: Fields[]; volumes: Fields[]; volumeMounts: Fields[] } {
  const { customCA } = defaults
  const proxy = ownProxy(own.proxy) ?? defaults.proxy
  const pairs = [
    ['HTTP_PROXY', proxy.http],
    ['HTTPS_PROXY', proxy.https],
    ['NO_PROXY', proxy.noProxy],
  ].flatMap(([name = '', value]) =>
    value ? [[name, value] as const, [name.toLowerCase(), value] as const] : [],
  )
  // Node reads proxies only when it is told to.
  if (proxy.http || proxy.https) pairs.push(['NODE_USE_ENV_PROXY', '1'])
  const configMap = ownCertificates(own.proxy) ?? customCA.configMap
  if (!configMap) return { env: variables(pairs), volumes: [], volumeMounts: [] }
  const file = `/etc/open-nemo/ca/${customCA.key}`
  // Node adds it to the authorities it knows; programs of others have one file for all.
  const others = own.maker === 'other' || own.maker === 'nvidia'
  for (const name of ['NODE_EXTRA_CA_CERTS', ...(others ? ['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE'] : [])]) {
    pairs.push([name, file])
  }
  return {
    env: variables(pairs),
    volumes: [{ name: 'custom-ca', configMap: { name: configMap } }],
    volumeMounts: [{ name: 'custom-ca', mountPath: '/etc/open-nemo/ca', readOnly: true }],
  }
}

function ownProxy(proxy: Fields | undefined) {
  if (!proxy || !(proxy.httpProxy || proxy.httpsProxy)) return undefined
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  return { http: text(proxy.httpProxy), https: text(proxy.httpsProxy), noProxy: text(proxy.noProxy) }
}

function ownCertificates(proxy: Fields | undefined): string | undefined {
  return typeof proxy?.certConfigMap === 'string' && proxy.certConfigMap ? proxy.certConfigMap : undefined
}

/** The resource's own variables come first and win, as the contract says. */
export function mergeEnv(own: Fields[] | undefined, standard: Fields[]): Fields[] {
  const names = new Set((own ?? []).map((each) => each.name))
  return [...(own ?? []), ...standard.filter((each) => !names.has(each.name))]
}

export const variables = (pairs: readonly (readonly [string, string])[]): Fields[] =>
  pairs.map(([name, value]) => ({ name, value }))

function distinct(list: Fields[]): Fields[] {
  const seen = new Set<string>()
  return list.filter((each) => {
    const key = JSON.stringify(Object.entries(each).sort(([a], [b]) => a.localeCompare(b)))
    return !seen.has(key) && seen.add(key)
  })
}

function isFilled(value: Fields | undefined): boolean {
  return value !== undefined && Object.keys(value).length > 0
}
