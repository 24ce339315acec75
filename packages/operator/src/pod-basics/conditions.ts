// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from '../framework/types.ts'

export interface Condition {
  type: string
  status: 'True' | 'False' | 'Unknown'
  reason: string
  message: string
  observedGeneration?: number
  lastTransitionTime?: string
}

/** A condition without what `withTimes` adds. */
export function condition(type: string, isTrue: boolean, reason: string, message: string): Condition {
  return { type, status: isTrue ? 'True' : 'False', reason, message }
}

/** Conditions with the generation they are about, and with the time since when each has its status. */
export function withTimes(resource: KubeObject, conditions: Condition[], now: Date): Condition[] {
  const before = ((resource.status as { conditions?: Condition[] } | undefined)?.conditions ??
    []) as Condition[]
  const { generation } = resource.metadata
  return conditions.map((each) => {
    const old = before.find((known) => known.type === each.type && known.status === each.status)
    const since = old?.lastTransitionTime ?? now.toISOString().replace(/\.\d+Z$/, 'Z')
    return {
      ...each,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      lastTransitionTime: since,
    }
  })
}
