// SPDX-License-Identifier: Apache-2.0
import type { Kube, KubeObject } from '../kube/api.ts'
import { customResource, PODS } from '../kube/resources.ts'
import type { Finding } from './types.ts'

/** A request to a Service of the namespace; gives the body that came back as JSON, and throws for any other. */
export type Call = (service: string, path: string, body?: unknown) => Promise<unknown>

/** The first call of each kind that a client makes, and what its answer has. */
const CALLS: Record<string, { path: string; has: (answer: Record<string, unknown>) => boolean }> = {
  NemoEntitystore: { path: '/v1/models', has: (answer) => Array.isArray(answer.data) },
  NemoDatastore: { path: '/v1/hf/api/datasets', has: (answer) => Array.isArray(answer) },
  NemoCustomizer: { path: '/v1/customization/configs', has: (answer) => Array.isArray(answer.data) },
  NemoEvaluator: { path: '/v1/evaluation/jobs', has: (answer) => Array.isArray(answer.data) },
  NemoGuardrail: { path: '/v1/guardrail/configs', has: (answer) => Array.isArray(answer.data) },
}
/** In the order of the guide's commands. */
const KINDS = [
  'NemoEntitystore',
  'NemoDatastore',
  'NemoGuardrail',
  'NemoCustomizer',
  'NemoEvaluator',
  'NIMPipeline',
  'NIMCache',
  'NIMService',
]
const PARTS = ['nemo-infra', 'nemo-instances']

interface Status {
  state?: string
  conditions?: { type: string; message?: string }[]
}

/** Whether the resource is Ready, and what its condition says when it is not. */
export function readiness(resource: KubeObject): Omit<Finding, 'check'> {
  const { state = '', conditions = [] } = (resource.status ?? {}) as Status
  const id = `${resource.kind} ${resource.metadata.name}`
  if (state === 'Ready') return { level: 'ok', message: `${id} is Ready` }
  const why = conditions.find((c) => c.type === 'Ready')?.message ?? 'no operator has said anything of it'
  return { level: 'error', message: `${id} is ${state || 'not looked at'}: ${why}` }
}

interface PodStatus {
  phase?: string
  containerStatuses?: { name: string; ready?: boolean; state?: { waiting?: { reason?: string } } }[]
  conditions?: { type: string; status: string; message?: string }[]
}

/** Whether a pod runs with all its containers, and what it waits for when it does not. */
export function podState(pod: KubeObject): Omit<Finding, 'check'> {
  const { phase = '', containerStatuses = [], conditions = [] } = (pod.status ?? {}) as PodStatus
  const ready = containerStatuses.filter((c) => c.ready).length
  const id = `pod ${pod.metadata.name}`
  if (phase === 'Succeeded') return { level: 'ok', message: `${id} has ended well` }
  if (phase === 'Running' && ready === containerStatuses.length) {
    return { level: 'ok', message: `${id} ${ready}/${containerStatuses.length} Running` }
  }
  const waiting = containerStatuses.flatMap((c) => c.state?.waiting?.reason ?? [])
  const unscheduled = conditions.find((c) => c.type === 'PodScheduled' && c.status === 'False')?.message
  const why = [...waiting, ...(unscheduled ? [unscheduled] : [])].join('; ') || 'not ready'
  return { level: 'error', message: `${id} ${ready}/${containerStatuses.length} ${phase}: ${why}` }
}

const failure = (err: unknown) => (err instanceof Error ? err.message : String(err)).slice(0, 300)

async function callService(call: Call, resource: KubeObject): Promise<Omit<Finding, 'check'> | undefined> {
  const { kind, metadata } = resource
  const expected = CALLS[kind]
  if (!expected) return undefined
  try {
    const answer = (await call(metadata.name, expected.path)) as Record<string, unknown>
    return expected.has(answer)
      ? { level: 'ok', message: `GET ${metadata.name}${expected.path}` }
      : { level: 'error', message: `GET ${metadata.name}${expected.path} answered something else` }
  } catch (err) {
    return { level: 'error', message: `GET ${metadata.name}${expected.path}: ${failure(err)}` }
  }
}

/** Asks a NIM which models it serves, and the first of them for a word. */
async function callNim(call: Call, name: string): Promise<Omit<Finding, 'check'>> {
  try {
    const { data = [] } = (await call(name, '/v1/models')) as { data?: { id: string }[] }
    const model = data[0]?.id
    if (!model) return { level: 'error', message: `${name} serves no model` }
    const messages = [{ role: 'user', content: 'Say hello.' }]
    const answer = (await call(name, '/v1/chat/completions', { model, messages, max_tokens: 4 })) as {
      choices?: unknown[]
    }
    return answer.choices?.length
      ? { level: 'ok', message: `${name} answers as ${model} (${data.length} models)` }
      : { level: 'error', message: `${name} answered without a choice` }
  } catch (err) {
    return { level: 'error', message: `${name}: ${failure(err)}` }
  }
}

/**
 * What the guide has people look at after an install: every resource Ready, every pod of both charts and of the
 * resources running, and one real call to each service.
 */
export async function verifyInstallation(kube: Kube, call: Call): Promise<Finding[]> {
  const findings: Finding[] = []
  const add = (check: string, ...found: (Omit<Finding, 'check'> | undefined)[]) => {
    for (const finding of found) if (finding) findings.push({ check, ...finding })
  }
  const resources: KubeObject[] = []
  for (const kind of KINDS) {
    const found = (await kube.list(customResource(kind))).map((o) => ({ ...o, kind }))
    if (found.length === 0) add('resources', { level: 'skipped', message: `no ${kind} in ${kube.namespace}` })
    resources.push(...found)
  }
  add('resources', ...resources.map(readiness))
  const names = new Set(resources.map(({ metadata }) => metadata.name))
  const pods = (await kube.list(PODS)).filter(({ metadata: { labels = {} } }) => {
    const instance = labels['app.kubernetes.io/instance'] ?? ''
    return PARTS.includes(labels['app.kubernetes.io/part-of'] ?? '') || names.has(instance)
  })
  if (pods.length === 0) add('pods', { level: 'error', message: `no pod of ours runs in ${kube.namespace}` })
  add('pods', ...pods.map(podState))
  for (const resource of resources) {
    if (resource.kind === 'NIMService') add('calls', await callNim(call, resource.metadata.name))
    else add('calls', await callService(call, resource))
  }
  return findings
}
