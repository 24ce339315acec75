// SPDX-License-Identifier: Apache-2.0
import { hostname } from 'node:os'
import { ConfigError, parseConfig } from '@open-nemo/runtime/config/parse.ts'
import { z } from 'zod'

const schema = z.object({
  /** Namespaces to reconcile, with commas between them, or `*`; the operator's own unless given. */
  NEMO_OPERATOR_NAMESPACES: z.string().optional(),
  /** Port of /healthz, /readyz and /metrics. */
  NEMO_OPERATOR_PORT: z.coerce.number().int().min(0).max(65_535).default(8081),
  /** File with what every pod made by an operator inherits. */
  NEMO_OPERATOR_DEFAULTS: z.string().default('/etc/open-nemo/defaults.yaml'),
  /** Whether several replicas elect one that works. */
  NEMO_OPERATOR_LEADER_ELECTION: z.enum(['true', 'false']).default('true'),
  /** Resources worked on at once. */
  NEMO_OPERATOR_WORKERS: z.coerce.number().int().min(1).max(64).default(8),
  /** Set by the downward API. */
  POD_NAMESPACE: z.string().optional(),
  POD_NAME: z.string().optional(),
  LOG_LEVEL: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
})

export interface OperatorConfig {
  /** Where the Lease is. */
  namespace: string
  /** What is watched; [''] for all namespaces. */
  namespaces: string[]
  port: number
  defaultsPath: string
  leaderElection: boolean
  workers: number
  identity: string
  logLevel: string
}

/** Reads an operator's settings. Throws ConfigError naming the variables at fault. */
export function operatorConfig(
  env: Record<string, string | undefined>,
  connectionNamespace: string | undefined,
): OperatorConfig {
  const c = parseConfig(schema, env)
  const namespace = c.POD_NAMESPACE ?? connectionNamespace
  if (!namespace)
    throw new ConfigError('POD_NAMESPACE: which namespace is this? Set it, or one in the kubeconfig context')
  const names = (c.NEMO_OPERATOR_NAMESPACES ?? namespace).split(',').map((n) => n.trim())
  const namespaces = [...new Set(names.filter(Boolean))]
  return {
    namespace,
    namespaces: namespaces.includes('*') ? [''] : namespaces,
    port: c.NEMO_OPERATOR_PORT,
    defaultsPath: c.NEMO_OPERATOR_DEFAULTS,
    leaderElection: c.NEMO_OPERATOR_LEADER_ELECTION === 'true',
    workers: c.NEMO_OPERATOR_WORKERS,
    identity: `${c.POD_NAME ?? hostname()}_${crypto.randomUUID().slice(0, 8)}`,
    logLevel: c.LOG_LEVEL,
  }
}
