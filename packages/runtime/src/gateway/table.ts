// SPDX-License-Identifier: Apache-2.0
import { SERVICE_NAMES, type ServiceName } from '@open-nemo/contract'

/** Which of the platform's ports a request came in by. `platform` decides by path alone. */
export type PortRole = 'platform' | ServiceName

/** Where a request goes: a service, or the platform's own pages; `path` is what the service sees. */
export interface Destination {
  service: ServiceName | 'platform'
  path: string
}

interface HostRule {
  host: RegExp
  role: PortRole
}

/** In-cluster names: `nemo-<x>`, `nemo<x>-sample`, each with or without a namespace suffix. */
const CLUSTER_NAMES: Record<ServiceName, string[]> = {
  'entity-store': ['nemo-entity-store', 'nemoentitystore-sample'],
  'data-store': ['nemo-data-store', 'nemodatastore-sample'],
  customizer: ['nemo-customizer', 'nemocustomizer-sample'],
  inference: ['nemo-nim-proxy', 'nemo-inference', 'nemonimproxy-sample', 'nemo-deployment-management'],
  evaluator: ['nemo-evaluator', 'nemoevaluator-sample'],
  guardrails: ['nemo-guardrails', 'nemoguardrails-sample'],
}
const SUFFIX = String.raw`(\.[a-z0-9-]+(\.svc(\.cluster\.local)?)?)?`

/** Host names of the platform, tried before the port and the path. */
const HOSTS: HostRule[] = [
  { host: /^nemo\.test$/, role: 'platform' },
  { host: /^nim\.test$/, role: 'inference' },
  { host: /^data-store\.test$/, role: 'data-store' },
  ...SERVICE_NAMES.map((role) => ({
    host: new RegExp(`^(${CLUSTER_NAMES[role].join('|')})${SUFFIX}$`),
    role,
  })),
]

interface PathRule {
  path: RegExp
  service: ServiceName
  /** When given, only these methods. */
  methods?: string[]
}

/** Paths of the one-port platform API. GET /v1/models there is the entity store's. */
const PATHS: PathRule[] = [
  { path: /^\/v1\/(chat\/completions|completions|embeddings|classify|ranking)$/, service: 'inference' },
  { path: /^(\/v1)?\/(tokenize|detokenize|tokenizer_info)$/, service: 'inference' },
  { path: /^\/v1\/(metadata|version|license)$/, service: 'inference', methods: ['GET', 'HEAD'] },
  { path: /^\/v1\/(hf|datastore|files)(\/|$)/, service: 'data-store' },
  { path: /^\/v1\/fine_tuning(\/|$)/, service: 'customizer' },
  { path: /^\/(datasets\/|models\/)?[^/]+\/[^/]+\.git\//, service: 'data-store' },
  { path: /^\/v1\/(namespaces|projects|datasets|models|repos)(\/|$)/, service: 'entity-store' },
  { path: /^\/v1\/customizations?(\/|$)/, service: 'customizer' },
  { path: /^\/v[12]\/evaluation(\/|$)/, service: 'evaluator' },
  { path: /^\/v1\/guardrail(\/|$)/, service: 'guardrails' },
  { path: /^\/v1\/deployment(\/|$)/, service: 'inference' },
]
const NIM_PREFIX = /^\/nim(?=\/|$)/

/** The role that a host name of ours gives, or undefined for any other host. `host` has no port. */
export function hostRole(host: string): PortRole | undefined {
  const name = host.toLowerCase().replace(/\.$/, '')
  return HOSTS.find((rule) => rule.host.test(name))?.role
}

/**
 * Decides where a request goes: by host name, then by the port it came in, then by path.
 * Returns `platform` for paths that no service claims (health, metrics, documents).
 */
export function destination(args: {
  host: string
  port: PortRole
  method: string
  path: string
}): Destination {
  const { path } = args
  const role = hostRole(args.host) ?? args.port
  if (role === 'inference') return { service: role, path: path.replace(NIM_PREFIX, '') || '/' }
  if (role !== 'platform') return { service: role, path }
  if (NIM_PREFIX.test(path)) return { service: 'inference', path: path.replace(NIM_PREFIX, '') || '/' }
  const rule = PATHS.find((r) => r.path.test(path) && (r.methods?.includes(args.method) ?? true))
  return { service: rule?.service ?? 'platform', path }
}
