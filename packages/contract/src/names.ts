// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

/** Characters of entity names; `/` is allowed inside model and config names such as `meta/llama@v1`. */
export const NAME_PATTERN = /^[\w\-+.@:]*$/
export const PATH_NAME_PATTERN = /^[\w\-+.@:]+(\/[\w\-+.@:]+)*$/

/** Name of an entity: at most 255 word characters, `-+.@:`; not `.` or `..`, which proxies fold away. */
export const entityName = z
  .string()
  .min(1)
  .max(255)
  .regex(NAME_PATTERN, 'use letters, digits and -_+.@: only')
  .refine((s) => s !== '.' && s !== '..', 'must not be . or ..')

/** Like entityName, and `/` between parts. */
export const entityPathName = z
  .string()
  .min(1)
  .max(255)
  .regex(PATH_NAME_PATTERN, 'use letters, digits and -_+.@: with / between parts')
  .refine((s) => !s.split('/').some((p) => p === '.' || p === '..'), 'no part may be . or ..')

/** A reference `namespace/name[@version]` taken apart; without a namespace it is `default`. */
export interface EntityRef {
  namespace: string
  name: string
  version: string | undefined
}

/** Takes `ns/name@version`, `name@version` or `name` apart; a name may hold further `/`. */
export function parseEntityRef(ref: string, defaultNamespace = 'default'): EntityRef {
  const slash = ref.indexOf('/')
  const namespace = slash > 0 ? ref.slice(0, slash) : defaultNamespace
  const rest = slash > 0 ? ref.slice(slash + 1) : ref
  const at = rest.indexOf('@')
  if (at <= 0) return { namespace, name: rest, version: undefined }
  return { namespace, name: rest.slice(0, at), version: rest.slice(at + 1) }
}
