// SPDX-License-Identifier: Apache-2.0
import type { Condition } from '@open-nemo/contract/kubernetes/parts.ts'
import { canonical } from './compare.ts'
import type { KubeObject } from './types.ts'

/** Condition types that the framework itself sets; a plan never removes them by leaving them out. */
const STOOD_ASIDE = 'StoodAside'

type Status = Record<string, unknown> & { conditions?: Condition[] }

export const statusOf = (resource: KubeObject): Status => (resource.status ?? {}) as Status

/** A status whose conditions carry the time of their last change, or undefined when it is the one already there. */
export function nextStatus(
  resource: KubeObject,
  wanted: Record<string, unknown>,
  now: Date,
): Status | undefined {
  const current = statusOf(resource)
  const next: Status = { ...wanted, observedGeneration: resource.metadata.generation }
  if (next.conditions)
    next.conditions = next.conditions.map((c) => dated(c, current.conditions, resource, now))
  return canonical(comparable(next)) === canonical(comparable(current)) ? undefined : next
}

function dated(
  condition: Condition,
  before: Condition[] | undefined,
  resource: KubeObject,
  now: Date,
): Condition {
  const old = before?.find((c) => c.type === condition.type)
  const lastTransitionTime =
    old?.status === condition.status && old.lastTransitionTime
      ? old.lastTransitionTime
      : `${now.toISOString().slice(0, 19)}Z`
  return { observedGeneration: resource.metadata.generation, ...condition, lastTransitionTime }
}

/** Empty values are dropped by the API server or not, and mean the same. Another's StoodAside is no difference. */
function comparable(status: Status): unknown {
  const { conditions, ...rest } = status
  const entries = Object.entries(rest).filter(([, v]) => v !== undefined && v !== null)
  return {
    ...Object.fromEntries(entries),
    conditions: [...(conditions ?? [])].sort((a, b) => (a.type < b.type ? -1 : 1)),
  }
}

/** The status of a resource whose objects cannot be made: the rest of what was known stays. */
export function refusedStatus(resource: KubeObject, reason: string, message: string): Status {
  const { conditions: _, ...rest } = statusOf(resource)
  return {
    ...rest,
    state: 'NotReady',
    conditions: [
      ...(statusOf(resource).conditions ?? []).filter((c) => c.type !== 'Ready' && c.type !== STOOD_ASIDE),
      { type: 'Ready', status: 'False', reason, message, observedGeneration: resource.metadata.generation },
    ],
  }
}

/** The condition that says why this operator leaves a resource alone. */
export const stoodAsideStatus = (message: string): Status => ({
  conditions: [{ type: STOOD_ASIDE, status: 'True', reason: 'ManagedByAnotherOperator', message }],
})

/** Whether the condition is there already with these words. */
export const saysStoodAside = (resource: KubeObject, message: string) =>
  statusOf(resource).conditions?.some((c) => c.type === STOOD_ASIDE && c.message === message) ?? false
