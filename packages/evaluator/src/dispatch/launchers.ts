// SPDX-License-Identifier: Apache-2.0
import { type KubernetesApi, KubernetesError } from '@open-nemo/runtime/executors/index.ts'
import type { Launcher, PodSpec, WorkloadState } from './types.ts'
import { argoWorkflow, batchJob, type Owner, podSpecOf } from './workloads.ts'

type Env = Record<string, string | undefined>

/** Runs jobs as batch Jobs beside the evaluator's own pod, whose name is `podName`. */
export function createKubernetesLauncher(api: KubernetesApi, env: Env, podName: string): Launcher {
  const jobs = `/apis/batch/v1/namespaces/${api.namespace}/jobs`
  const remove = async (name: string) => {
    await unless(404, api.call('DELETE', `${jobs}/${name}?propagationPolicy=Background`))
  }
  return {
    async launch({ name, job }) {
      const { spec, owners } = await ownPod(api, podName)
      const pod = podSpecOf(spec, env, job)
      await unless(409, api.call('POST', jobs, batchJob({ name, job, pod, owners })))
    },
    async state(name) {
      const found = await unless(404, api.call<{ status?: JobStatus }>('GET', `${jobs}/${name}`))
      return found ? jobState(found.status) : 'absent'
    },
    stop: remove,
    remove,
  }
}

interface JobStatus {
  conditions?: { type: string; status: string }[]
}

function jobState(status: JobStatus | undefined): WorkloadState {
  const ended = status?.conditions?.some(
    ({ type, status }) => (type === 'Complete' || type === 'Failed') && status === 'True',
  )
  return ended ? 'ended' : 'running'
}

/** Runs jobs as Workflows, submitted through the Argo server at ARGO_HOST. */
export function createArgoLauncher(
  api: KubernetesApi,
  env: Env,
  on: {
    podName: string
    token: () => Promise<string | undefined>
    fetch: typeof globalThis.fetch
    /** What the image of the evaluator begins with. */
    command: readonly string[]
  },
): Launcher {
  const base = `${(env.ARGO_HOST ?? '').replace(/\/+$/, '')}/api/v1/workflows/${api.namespace}`
  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const token = await on.token()
    const response = await on.fetch(base + path, {
      method,
      headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(30_000),
    })
    const text = await response.text()
    if (response.ok) return (text ? JSON.parse(text) : {}) as T
    throw new KubernetesError(
      response.status,
      `${method} ${base}${path} answered ${response.status}: ${text.slice(0, 500)}`,
    )
  }
  return {
    async launch({ name, job }) {
      const { spec, owners } = await ownPod(api, on.podName)
      const pod = podSpecOf(spec, env, job)
      const workflow = argoWorkflow({ name, job, pod, owners, command: on.command })
      await unless(409, call('POST', '', { workflow }))
    },
    async state(name) {
      const fields = '?fields=metadata.name,status.phase'
      const found = await unless(404, call<{ status?: { phase?: string } }>('GET', `/${name}${fields}`))
      if (!found) return 'absent'
      return ['Succeeded', 'Failed', 'Error'].includes(found.status?.phase ?? '') ? 'ended' : 'running'
    },
    async stop(name) {
      // 500: it has ended already.
      await unless(500, unless(404, call('PUT', `/${name}/terminate`, {})))
    },
    async remove(name) {
      await unless(404, call('DELETE', `/${name}`))
    },
  }
}

/**
 * The evaluator's own pod, and what owns it: its ReplicaSet, which outlives rollouts and goes with the evaluator. What
 * is made for a job goes with it, too.
 */
async function ownPod(api: KubernetesApi, name: string): Promise<{ spec: PodSpec; owners: Owner[] }> {
  const path = `/api/v1/namespaces/${api.namespace}/pods/${name}`
  const { spec, metadata } = await api.call<{ spec: PodSpec; metadata?: { ownerReferences?: Owner[] } }>(
    'GET',
    path,
  )
  const owners = (metadata?.ownerReferences ?? []).map(({ apiVersion, kind, name, uid }) => ({
    apiVersion,
    kind,
    name,
    uid,
  }))
  return { spec, owners }
}

/** The answer, or undefined when it is this refusal. */
async function unless<T>(status: number, answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer
  } catch (err) {
    if (err instanceof KubernetesError && err.status === status) return undefined
    throw err
  }
}
