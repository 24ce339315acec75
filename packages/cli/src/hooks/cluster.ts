// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises'
import type { V1Secret } from '@kubernetes/client-node'

/** A hook cannot do its work, and the message says what to change. */
export class HookError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'HookError'
  }
}

/** The rights on Secrets that a hook has: to read those it names, and to make them. Nothing is ever changed. */
export interface Secrets {
  read(name: string): Promise<V1Secret | undefined>
  /** Returns false when a Secret of that name was made meanwhile. */
  create(secret: V1Secret): Promise<boolean>
}

/** Where the kubelet puts the namespace of a pod that has a token. */
const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace'

/** Secrets of the pod's own namespace, reached with the token of its ServiceAccount. */
export async function secretsInCluster(): Promise<Secrets> {
  const { ApiException, CoreV1Api, KubeConfig } = await import('@kubernetes/client-node')
  const namespace = (await readFile(NAMESPACE_FILE, 'utf8')).trim()
  const config = new KubeConfig()
  config.loadFromCluster()
  const api = config.makeApiClient(CoreV1Api)
  const unless = async <T>(code: number, call: Promise<T>): Promise<T | undefined> => {
    try {
      return await call
    } catch (err) {
      if (err instanceof ApiException && err.code === code) return undefined
      throw err
    }
  }
  return {
    read: (name) => unless(404, api.readNamespacedSecret({ name, namespace })),
    create: async (body) =>
      (await unless(409, api.createNamespacedSecret({ namespace, body }))) !== undefined,
  }
}
