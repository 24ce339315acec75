// SPDX-License-Identifier: Apache-2.0
import { MASK } from '@open-nemo/contract/secrets.ts'

type Json = Record<string, unknown>

const SECRET_KEYS = ['api_key', 'openai_api_key', 'nvidia_api_key']

/** A copy of a configuration with its keys masked. */
export function masked<T>(value: T): T {
  return walk(value, (key, inner) =>
    SECRET_KEYS.includes(key) && typeof inner === 'string' && inner ? MASK : undefined,
  ) as T
}

/** A changed configuration in which masks are the keys that were there, as a client that sends back what it read. */
export function keepMasked(next: Json, old: unknown): Json {
  const known = new Map<string, string>()
  collect(old, [], (path, value) => known.set(path, value))
  return walk(next, (key, inner, path) =>
    inner === MASK && SECRET_KEYS.includes(key) ? known.get(path) : undefined,
  ) as Json
}

function walk(
  value: unknown,
  replace: (key: string, inner: unknown, path: string) => unknown,
  path: string[] = [],
): unknown {
  if (Array.isArray(value)) return value.map((item, i) => walk(item, replace, [...path, nameOf(item, i)]))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      const own = [...path, key]
      return [key, replace(key, inner, own.join('\n')) ?? walk(inner, replace, own)]
    }),
  )
}

function collect(value: unknown, path: string[], add: (path: string, value: string) => void): void {
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries()) collect(item, [...path, nameOf(item, i)], add)
    return
  }
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    if (SECRET_KEYS.includes(key) && typeof inner === 'string') add([...path, key].join('\n'), inner)
    else collect(inner, [...path, key], add)
  }
}

/** A model keeps its key when the list around it changes. */
function nameOf(item: unknown, i: number): string {
  const type = (item as Json | null)?.type
  return typeof type === 'string' ? type : String(i)
}
