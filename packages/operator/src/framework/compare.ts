// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'

/** JSON with sorted keys and without undefined fields, so that equal values give equal text. */
export function canonical(value: unknown): string {
  if (value === undefined) return 'null'
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  const fields = value as Record<string, unknown>
  let text = ''
  for (const key of Object.keys(fields).sort())
    if (fields[key] !== undefined)
      text += `${text ? ',' : ''}${JSON.stringify(key)}:${canonical(fields[key])}`
  return `{${text}}`
}

/** A short hash of a value's content. */
export const contentHash = (value: unknown) =>
  createHash('sha256').update(canonical(value)).digest('hex').slice(0, 16)

/**
 * Whether `live` says everything that `desired` says. The API server fills in defaults and drops empty values,
 * so what only `live` has, and what is empty in `desired`, counts as equal.
 */
export function contains(live: unknown, desired: unknown): boolean {
  if (desired === undefined || desired === null) return true
  if (desired === false || desired === 0 || desired === '') return live === desired || live == null
  if (typeof desired !== 'object') return live === desired
  if (Array.isArray(desired)) {
    const items = live ?? []
    return (
      Array.isArray(items) &&
      items.length === desired.length &&
      desired.every((v, i) => contains(items[i], v))
    )
  }
  const entries = Object.entries(desired)
  if (live == null) return entries.every(([, v]) => contains(undefined, v))
  if (typeof live !== 'object') return false
  return entries.every(([k, v]) => contains((live as Record<string, unknown>)[k], v))
}
