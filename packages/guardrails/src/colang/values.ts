// SPDX-License-Identifier: Apache-2.0
import type { Value } from './expression.ts'

const MAX_DEPTH = 32

/** What of a foreign value Colang can hold: JSON; functions and the like are None, and so is what is nested too deeply. */
export function toValue(foreign: unknown, depth = 0): Value {
  if (foreign === null || foreign === undefined || depth > MAX_DEPTH) return null
  if (typeof foreign === 'string' || typeof foreign === 'boolean') return foreign
  if (typeof foreign === 'number') return Number.isFinite(foreign) ? foreign : null
  if (typeof foreign === 'bigint') return Number(foreign)
  if (Array.isArray(foreign)) return foreign.map((item) => toValue(item, depth + 1))
  if (typeof foreign !== 'object') return null
  return Object.fromEntries(Object.entries(foreign).map(([key, value]) => [key, toValue(value, depth + 1)]))
}
