// SPDX-License-Identifier: Apache-2.0

type Data = Record<string, unknown>

/** Keys by which two entries of a list are the same thing, so that the later one replaces the earlier. */
const IDENTITY: Record<string, string> = { models: 'type', prompts: 'task', instructions: 'type' }

/**
 * Merges two configurations: mappings deeply, lists one after the other without repeats, anything else from
 * `over`. Models, prompts and instructions of the same type or task are replaced, not repeated.
 */
export function mergeData(base: Data, over: Data, keys: string[] = []): Data {
  const out: Data = { ...base }
  for (const [key, value] of Object.entries(over)) {
    if (value === null || value === undefined) continue
    out[key] = mergeValue(out[key], value, [...keys, key])
  }
  return out
}

function mergeValue(base: unknown, over: unknown, keys: string[]): unknown {
  if (isData(base) && isData(over)) return mergeData(base, over, keys)
  if (!Array.isArray(base) || !Array.isArray(over)) return over
  const identity = keys.length === 1 ? IDENTITY[keys[0] ?? ''] : undefined
  if (!identity) return [...base, ...over.filter((item) => !base.includes(item))]
  const name = (item: unknown) =>
    isData(item) ? JSON.stringify([item[identity], item.models ?? null]) : item
  const replaced = new Set(over.map(name))
  return [...base.filter((item) => !replaced.has(name(item))), ...over]
}

function isData(value: unknown): value is Data {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
