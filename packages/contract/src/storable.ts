// SPDX-License-Identifier: Apache-2.0
import { invalid } from './errors.ts'

const MAX_DEPTH = 32

/**
 * Visits every field of a document, the outer ones first. Throws a 422 for what the database cannot store: U+0000, halves
 * of surrogate pairs, and nesting over 32 deep.
 */
export function walkFields(
  node: unknown,
  visit: (holder: Record<string, unknown>, key: string, path: string[]) => void,
  path: string[] = [],
): void {
  if (typeof node === 'string') checkText(node, path)
  if (typeof node !== 'object' || node === null) return
  if (path.length >= MAX_DEPTH)
    throw invalid(['body', ...path.slice(0, 4)], `is nested over ${MAX_DEPTH} deep`)
  const holder = node as Record<string, unknown>
  for (const key of Object.keys(node)) {
    const inner = [...path, key]
    checkText(key, inner)
    visit(holder, key, inner)
    walkFields(holder[key], visit, inner)
  }
}

function checkText(text: string, path: string[]): void {
  if (!text.includes('\0') && text.isWellFormed()) return
  throw invalid(['body', ...path], 'holds U+0000 or half a surrogate pair, which cannot be stored')
}

/** Throws a 422 for text that the database cannot store. See walkFields. */
export const refuseUnstorable = (value: unknown): void => walkFields(value, () => undefined)

/** The fields that have a value: in a PATCH, null and absent both leave the old one as it is. */
export function stated(body: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null && value !== undefined))
}
