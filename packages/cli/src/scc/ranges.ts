// SPDX-License-Identifier: Apache-2.0
import type { IdRange, NamespaceLike, Scc } from './types.ts'

export const UID_RANGE = 'openshift.io/sa.scc.uid-range'
export const GROUPS = 'openshift.io/sa.scc.supplemental-groups'
export const LEVEL = 'openshift.io/sa.scc.mcs'

/** Reads a block of ids, `start/size` or `start-end`. */
function block(text: string): Required<IdRange> {
  const [, first = '', mark = '', second = ''] = /^(\d+)([/-])(\d+)$/.exec(text.trim()) ?? []
  if (!mark) throw new Error(`"${text}" is no block of ids such as 1000680000/10000`)
  const min = Number(first)
  return { min, max: mark === '/' ? min + Number(second) - 1 : Number(second) }
}

/**
 * The constraint with the ids that the namespace's annotations allot, where it leaves them open.
 * Throws when the namespace has none: OpenShift admits no pod there.
 */
export function resolveFor(namespace: NamespaceLike, scc: Scc): Scc {
  const annotations = namespace.metadata.annotations ?? {}
  const read = (name: string): string => {
    const value = annotations[name]
    if (!value) throw new Error(`namespace ${namespace.metadata.name} has no annotation ${name}`)
    return value
  }
  const groups = () => (annotations[GROUPS] || read(UID_RANGE)).split(',').map(block)
  const resolved = structuredClone(scc)
  const user = resolved.runAsUser
  if (user?.type === 'MustRunAsRange' && user.uidRangeMin === undefined && user.uidRangeMax === undefined) {
    const { min, max } = block(read(UID_RANGE))
    Object.assign(user, { uidRangeMin: min, uidRangeMax: max })
  }
  const linux = resolved.seLinuxContext
  if (linux?.type === 'MustRunAs' && !linux.seLinuxOptions?.level) {
    linux.seLinuxOptions = { ...linux.seLinuxOptions, level: read(LEVEL) }
  }
  if (resolved.fsGroup?.type === 'MustRunAs' && !resolved.fsGroup.ranges?.length) {
    // Of the allotted groups, the first alone may own volumes.
    const min = groups()[0]?.min
    resolved.fsGroup.ranges = [{ min, max: min }]
  }
  const more = resolved.supplementalGroups
  if (more?.type === 'MustRunAs' && !more.ranges?.length) more.ranges = groups()
  return resolved
}

/** Whether an id lies in one of the ranges. */
export const inRanges = (ranges: readonly IdRange[] | undefined, id: number) =>
  (ranges ?? []).some(({ min = 0, max = 0 }) => id >= min && id <= max)
