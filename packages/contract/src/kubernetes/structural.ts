// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

type Json = { [key: string]: unknown }

const DROPPED = new Set(['$schema', '$id', 'id', 'title', 'examples'])

/**
 * A schema as a CRD may hold it ("structural"): no $ref, no const, `additionalProperties` or `properties` but
 * not both, and loose objects keep what they do not know.
 */
export function structuralSchema(schema: z.ZodType): Json {
  return structural(
    z.toJSONSchema(schema, { io: 'input', target: 'draft-7', unrepresentable: 'any' }) as Json,
  )
}

function structural(node: Json): Json {
  if (node['x-kubernetes-int-or-string']) {
    return {
      ...(node.description ? { description: node.description } : {}),
      'x-kubernetes-int-or-string': true,
    }
  }
  const out: Json = {}
  for (const [key, value] of Object.entries(node)) {
    if (DROPPED.has(key) || key === 'additionalProperties' || isUnbounded(key, value)) continue
    if (key === 'properties') {
      const properties = mapValues(value as Record<string, Json>, structural)
      // The API server drops an empty one, and every later apply by somebody else would then meet a conflict.
      if (Object.keys(properties).length > 0) out.properties = properties
    } else if (key === 'items') out.items = structural(value as Json)
    else if (key === 'const') out.enum = [value]
    else if (key === 'propertyNames') continue
    else out[key] = value
  }
  return { ...out, ...openness(node) }
}

/** Zod writes JavaScript's safe range on every integer; in a CRD it would only be noise. */
const isUnbounded = (key: string, value: unknown) =>
  (key === 'maximum' || key === 'minimum') &&
  typeof value === 'number' &&
  Math.abs(value) === Number.MAX_SAFE_INTEGER

function openness(node: Json): Json {
  const extra = node.additionalProperties
  if (node.type !== 'object') return {}
  if (!extra || typeof extra !== 'object') return {}
  if (Object.keys(extra).length === 0) return { 'x-kubernetes-preserve-unknown-fields': true }
  return { additionalProperties: structural(extra as Json) }
}

const mapValues = <T, U>(record: Record<string, T>, f: (value: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([k, v]) => [k, f(v)]))
