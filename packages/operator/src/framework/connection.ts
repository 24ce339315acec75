// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { AgentOptions } from 'node:https'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { ConfigError } from '@open-nemo/runtime/config/parse.ts'
import { parse } from 'yaml'

type Env = Record<string, string | undefined>

/** How to reach an API server. */
export interface Connection {
  server: string
  /** Namespace of the kubeconfig's context, or of the pod. */
  namespace: string | undefined
  tls: Pick<AgentOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername'>
  /** Headers that authenticate a request; asked for each one, since tokens rotate. */
  headers(): Promise<Record<string, string>>
}

const POD_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount'
/** Kubelet rotates a pod's token long before it expires: a minute's memory is never too old. */
const TOKEN_MEMORY_MS = 60_000

/** The pod's own connection, or else the kubeconfig's (KUBECONFIG, ~/.kube/config). Throws ConfigError. */
export async function loadConnection(env: Env): Promise<Connection> {
  if (!env.KUBECONFIG && env.KUBERNETES_SERVICE_HOST && existsSync(join(POD_FOLDER, 'token')))
    return podConnection(env)
  const path = (env.KUBECONFIG || join(homedir(), '.kube', 'config')).split(':')[0] ?? ''
  if (!existsSync(path))
    throw new ConfigError(
      `no cluster to talk to: ${path} does not exist; set KUBECONFIG, or run in a pod with a ServiceAccount token`,
    )
  return kubeconfigConnection(resolve(path))
}

async function podConnection(env: Env): Promise<Connection> {
  const host = env.KUBERNETES_SERVICE_HOST ?? ''
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${env.KUBERNETES_SERVICE_PORT ?? '443'}`,
    namespace: await readFile(join(POD_FOLDER, 'namespace'), 'utf8').then(
      (text) => text.trim(),
      () => undefined,
    ),
    tls: { ca: await readFile(join(POD_FOLDER, 'ca.crt')) },
    headers: tokenFile(join(POD_FOLDER, 'token')),
  }
}

function tokenFile(path: string): () => Promise<Record<string, string>> {
  let read = { at: 0, token: '' }
  return async () => {
    if (Date.now() - read.at > TOKEN_MEMORY_MS)
      read = { at: Date.now(), token: (await readFile(path, 'utf8')).trim() }
    return { authorization: `Bearer ${read.token}` }
  }
}

interface Kubeconfig {
  'current-context'?: string
  contexts?: { name: string; context: { cluster: string; user: string; namespace?: string } }[]
  clusters?: { name: string; cluster: Record<string, unknown> }[]
  users?: { name: string; user: Record<string, unknown> }[]
}

/** Fields of a kubeconfig user that are plain material; any other needs the client library's authenticators. */
const PLAIN = new Set([
  'client-certificate',
  'client-certificate-data',
  'client-key',
  'client-key-data',
  'token',
  'tokenFile',
])

async function kubeconfigConnection(path: string): Promise<Connection> {
  const config = parse(await readFile(path, 'utf8')) as Kubeconfig
  const context = config.contexts?.find((c) => c.name === config['current-context'])?.context
  const cluster = config.clusters?.find((c) => c.name === context?.cluster)?.cluster
  const user = config.users?.find((u) => u.name === context?.user)?.user ?? {}
  if (!context || !cluster?.server)
    throw new ConfigError(`${path}: the current context names no cluster; see \`kubectl config view\``)
  const material = (source: Record<string, unknown>, field: string) => {
    const data = source[`${field}-data`]
    if (typeof data === 'string') return Buffer.from(data, 'base64')
    const file = source[field]
    return typeof file === 'string' ? readFile(resolve(dirname(path), file)) : undefined
  }
  const base = {
    server: String(cluster.server).replace(/\/$/, ''),
    namespace: context.namespace,
    tls: {
      ca: await material(cluster, 'certificate-authority'),
      rejectUnauthorized: cluster['insecure-skip-tls-verify'] !== true,
      ...(cluster['tls-server-name'] ? { servername: String(cluster['tls-server-name']) } : {}),
    },
  }
  if (!Object.keys(user).every((field) => PLAIN.has(field))) return libraryConnection(path, base)
  return {
    ...base,
    tls: {
      ...base.tls,
      cert: await material(user, 'client-certificate'),
      key: await material(user, 'client-key'),
    },
    headers:
      typeof user.tokenFile === 'string'
        ? tokenFile(resolve(dirname(path), user.tokenFile))
        : async () =>
            ({ ...(user.token ? { authorization: `Bearer ${user.token}` } : {}) }) as Record<string, string>,
  }
}

/** Logins by a program or an identity provider. The library costs 90 MB of memory, so only they load it. */
async function libraryConnection(path: string, base: Omit<Connection, 'headers'>): Promise<Connection> {
  const { KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  config.loadFromFile(path)
  const first: AgentOptions & { headers?: Record<string, string> } = {}
  await config.applyToHTTPSOptions(first)
  return {
    ...base,
    tls: { ...base.tls, cert: first.cert, key: first.key },
    headers: async () => {
      const options: { headers?: Record<string, string> } = {}
      await config.applyToHTTPSOptions(options)
      return Object.fromEntries(
        Object.entries(options.headers ?? {}).map(([k, v]) => [k.toLowerCase(), `${v}`]),
      )
    },
  }
}
