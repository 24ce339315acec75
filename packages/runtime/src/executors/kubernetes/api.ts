// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'

/** Where the API server is and how to speak to it. */
export interface KubernetesAt {
  url: string
  namespace: string
  /** Asked for each request: the file is renewed every hour. */
  token(): Promise<string | undefined>
  ca?: string
}

/** Just enough of the Kubernetes API for executions: JSON in, JSON out. */
export interface KubernetesApi {
  readonly namespace: string
  /** Throws KubernetesError for every answer that is no success. */
  call<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T>
}

/** The API server's refusal; status 0 when it was not reached. */
export class KubernetesError extends Error {
  override name = 'KubernetesError'
  readonly status: number

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
  }
}

const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
const TIMEOUT_MS = 30_000
const MERGE_PATCH = 'application/merge-patch+json'

/** The API server of the cluster that this pod runs in. Throws KubernetesError outside of one. */
export async function inCluster(env: Record<string, string | undefined>): Promise<KubernetesAt> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = env
  if (!host) {
    throw new KubernetesError(0, 'this process does not run in a pod: KUBERNETES_SERVICE_HOST is not set')
  }
  const read = (name: string) => readFile(`${ACCOUNT}/${name}`, 'utf8').catch(() => undefined)
  const ca = await read('ca.crt')
  return {
    url: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    namespace: (env.NAMESPACE ?? (await read('namespace')) ?? 'default').trim(),
    token: async () => (await read('token'))?.trim(),
    ...(ca ? { ca } : {}),
  }
}

/** A client of the API server; patches are merge patches. */
export function createKubernetesApi(at: KubernetesAt): KubernetesApi {
  return {
    namespace: at.namespace,
    async call<T>(method: string, path: string, body?: unknown): Promise<T> {
      const token = await at.token()
      const { status, text } = await send(at, {
        method,
        path,
        headers: {
          accept: 'application/json',
          ...(token ? { authorization: `Bearer ${token}` } : {}),
          ...(body === undefined
            ? {}
            : { 'content-type': method === 'PATCH' ? MERGE_PATCH : 'application/json' }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      })
      if (status >= 200 && status < 300) return (text ? JSON.parse(text) : {}) as T
      throw new KubernetesError(status, `${method} ${path} answered ${status}: ${reasonOf(text)}`)
    },
  }
}

function send(
  at: KubernetesAt,
  call: { method: string; path: string; headers: Record<string, string>; body: string | undefined },
): Promise<{ status: number; text: string }> {
  const url = new URL(at.url + call.path)
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest
  return new Promise((resolve, reject) => {
    const failed = (cause: Error) =>
      reject(new KubernetesError(0, `the Kubernetes API was not reached: ${cause.message}`, { cause }))
    const outgoing = request(
      url,
      { method: call.method, headers: call.headers, timeout: TIMEOUT_MS, ...(at.ca ? { ca: at.ca } : {}) },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('error', failed)
        incoming.on('end', () =>
          resolve({ status: incoming.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
        )
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)))
    outgoing.on('error', failed)
    outgoing.end(call.body)
  })
}

function reasonOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text).slice(0, 500)
  } catch {
    return text.slice(0, 500)
  }
}
