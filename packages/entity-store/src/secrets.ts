// SPDX-License-Identifier: Apache-2.0
import { fromPointer, maskSecrets, type Secrets } from '@open-nemo/contract/secrets.ts'

const FIELDS = { isSecret: (key: string) => key === 'api_key' }

/** Replaces each `api_key` in `value` by a mask, in place, and returns what was there. See maskSecrets. */
export function takeSecrets(
  value: Record<string, unknown>,
  previous: { doc: Record<string, unknown>; secrets: Secrets } | undefined,
): Secrets {
  return maskSecrets(value, FIELDS, previous)
}

/** The secrets that lie in fields other than `fields`. */
export function secretsOutside(secrets: Secrets, fields: readonly string[]): Secrets {
  return Object.fromEntries(
    Object.entries(secrets).filter(([pointer]) => !fields.includes(fromPointer(pointer)[0] ?? '')),
  )
}
