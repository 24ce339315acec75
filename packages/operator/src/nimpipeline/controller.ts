// SPDX-License-Identifier: Apache-2.0
import { APPS_API } from '@open-nemo/contract/kubernetes/crds.ts'
import { type NimPipelineSpec, nimPipelineSpec } from '@open-nemo/contract/kubernetes/nim-kinds.ts'
import type { Controller, KubeObject, ObjectRef, Plan, World } from '../framework/types.ts'
import { condition } from '../pod-basics/conditions.ts'
import { mergeEnv, variables } from '../pod-basics/placement.ts'

const NIM_SERVICE = { apiVersion: APPS_API, kind: 'NIMService' }
const PIPELINE_LABEL = 'nim-pipeline'

type Service = NonNullable<NimPipelineSpec['services']>[number]

/** Makes a NIMService for each service of a pipeline, and keeps it as the pipeline says. */
export const nimPipelineController: Controller = {
  apiVersion: APPS_API,
  kind: 'NIMPipeline',
  plural: 'nimpipelines',
  owns: [NIM_SERVICE],
  references: (resource) =>
    ((resource.spec as { services?: { name: string }[] } | undefined)?.services ?? []).map(({ name }) => ({
      ...NIM_SERVICE,
      name,
    })),
  plan,
}

function plan(resource: KubeObject, world: World): Plan {
  const parsed = nimPipelineSpec.safeParse(resource.spec ?? {})
  if (!parsed.success) {
    const message = parsed.error.issues
      .map((each) => `spec.${each.path.join('.')}: ${each.message}`)
      .join('; ')
    return { apply: [], status: statusOf('Failed', 'InvalidSpec', message, {}) }
  }
  const services = parsed.data.services ?? []
  const names = services.map(({ name }) => name)
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice) {
    const message = `spec.services has two services named ${twice}: give each a name of its own`
    return { apply: [], status: statusOf('Failed', 'DuplicateName', message, {}) }
  }
  const wanted = services.filter(({ enabled }) => enabled)
  const states = Object.fromEntries(wanted.map(({ name }) => [name, stateOf(name, world)]))
  return {
    apply: wanted.map((service) => serviceObject(resource, service)),
    remove: leftOver(resource, wanted, world),
    status: summary(wanted, states, world),
  }
}

function serviceObject(resource: KubeObject, { name, spec, dependencies }: Service): KubeObject {
  const given = (dependencies ?? []).flatMap(({ envName, envValue }) =>
    envName ? [[envName, envValue ?? ''] as const] : [],
  )
  const env = mergeEnv(spec.env, variables(given))
  return {
    ...NIM_SERVICE,
    metadata: {
      name,
      labels: {
        'app.kubernetes.io/managed-by': 'open-nemo',
        'app.kubernetes.io/instance': resource.metadata.name,
        [PIPELINE_LABEL]: resource.metadata.name,
      },
    },
    spec: { ...spec, ...(env.length > 0 ? { env } : {}) },
  }
}

/** Services that the pipeline has no longer, or has switched off. */
function leftOver(resource: KubeObject, wanted: Service[], world: World): ObjectRef[] {
  const keep = new Set(wanted.map(({ name }) => name))
  return world
    .list(NIM_SERVICE.apiVersion, NIM_SERVICE.kind)
    .filter((each) => each.metadata.ownerReferences?.some(({ uid }) => uid === resource.metadata.uid))
    .filter((each) => !keep.has(each.metadata.name))
    .map((each) => ({ ...NIM_SERVICE, name: each.metadata.name }))
}

interface ServiceStatus {
  state?: string
  observedGeneration?: number
  conditions?: { type: string; message?: string; observedGeneration?: number }[]
}

const live = (name: string, world: World) => world.get({ ...NIM_SERVICE, name })

/** A state that is about an older spec of the service says nothing of this one. */
function stateOf(name: string, world: World): string {
  const service = live(name, world)
  const status = (service?.status ?? {}) as ServiceStatus
  const isCurrent = (status.observedGeneration ?? 0) >= (service?.metadata.generation ?? 0)
  return (isCurrent && status.state) || 'NotReady'
}

function summary(wanted: Service[], states: Record<string, string>, world: World): Record<string, unknown> {
  const bad = wanted.filter(({ name }) => states[name] !== 'Ready')
  if (bad.length === 0) {
    const message =
      wanted.length === 0 ? 'there are no services in it' : `all ${wanted.length} services are ready`
    return statusOf('Ready', 'Ready', message, states)
  }
  const failed = bad.some(({ name }) => states[name] === 'Failed')
  const message = bad
    .map(({ name }) => {
      const status = (live(name, world)?.status ?? {}) as ServiceStatus
      const why = status.conditions?.find((each) => each.type === 'Ready')?.message
      return `NIMService ${name} is ${states[name]}${why ? `: ${why}` : ''}`
    })
    .join('; ')
  return statusOf(
    failed ? 'Failed' : 'NotReady',
    failed ? 'ServiceFailed' : 'ServicesNotReady',
    message,
    states,
  )
}

function statusOf(
  state: 'Ready' | 'NotReady' | 'Failed',
  reason: string,
  message: string,
  states: Record<string, string>,
): Record<string, unknown> {
  const failed = state === 'Failed'
  return {
    state,
    states,
    conditions: [
      condition('Ready', state === 'Ready', reason, message),
      condition('Failed', failed, failed ? reason : 'NotFailed', failed ? message : ''),
    ],
  }
}
