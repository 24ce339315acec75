// SPDX-License-Identifier: Apache-2.0
import { invalid } from './errors.ts'

/** Throws a 422 for text that the database cannot store: U+0000 and halves of surrogate pairs. */
export function refuseUnstorable(value: unknown, loc: (string | number)[] = ['body']): void {
  if (typeof value === 'string' && (value.includes('\0') || !value.isWellFormed())) {
    throw invalid(loc, 'holds U+0000 or half a surrogate pair, which cannot be stored')
  }
  if (typeof value !== 'object' || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    refuseUnstorable(key, [...loc, '(key)'])
    refuseUnstorable(inner, [...loc, key])
  }
}

/** The fields that have a value: in a PATCH, null and absent both leave the old one as it is. */
export function stated(body: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null && value !== undefined))
}
