// SPDX-License-Identifier: Apache-2.0
import { invalid } from './errors.ts'
import { walkFields } from './storable.ts'

/** What stands in answers where a secret is. */
export const MASK = '******'

/** Secret values taken out of a document, by JSON pointer. They live where no answer reads them. */
export type Secrets = Record<string, string>
type Tree = Record<string, unknown>

/** What is secret in a service's documents. */
export interface SecretFields {
  /** Whether the text of a field with this name is a secret. */
  isSecret(key: string): boolean
  /** The secret of another field, and what is shown in its place; `kept` is what was stored there. */
  split?(key: string, given: string, kept: string | undefined): { secret: string; shown: string } | undefined
}

/**
 * Replaces each secret in `value` by a mask, in place, and returns what was there. A field that holds the mask keeps
 * what `previous` has at that place, and only while the `url` beside it is the same: else whoever may change a URL
 * could have the key sent to a server of their own. Throws a 422 for text that PostgreSQL cannot hold, for nesting
 * that is too deep, and for a mask that stands for nothing.
 */
export function maskSecrets(
  value: Tree,
  fields: SecretFields,
  previous?: { doc: Tree; secrets: Secrets },
): Secrets {
  const found: Secrets = {}
  walkFields(value, (holder, key, path) => {
    const given = holder[key]
    if (typeof given !== 'string' || given === '') return
    const pointer = toPointer(path)
    const kept = previous?.secrets[pointer]
    if (!fields.isSecret(key)) {
      const parts = fields.split?.(key, given, kept)
      if (!parts) return
      found[pointer] = parts.secret
      holder[key] = parts.shown
    } else if (given !== MASK) {
      found[pointer] = given
      holder[key] = MASK
    } else {
      const before = fieldsAt(previous?.doc, path.slice(0, -1))
      if (kept === undefined || before?.url !== holder.url)
        throw invalid(['body', ...path], 'is the mask of a stored secret: give the secret itself')
      found[pointer] = kept
    }
  })
  return found
}

/** Puts secrets back into a document, in place. */
export function unmaskSecrets<T extends object>(doc: T, secrets: Secrets): T {
  for (const [pointer, secret] of Object.entries(secrets)) {
    const path = fromPointer(pointer)
    const holder = fieldsAt(doc, path.slice(0, -1))
    const key = path.at(-1)
    if (holder && key !== undefined) holder[key] = secret
  }
  return doc
}

function fieldsAt(node: unknown, path: string[]): Tree | undefined {
  let here = node
  for (const key of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, key)) return undefined
    here = (here as Tree)[key]
  }
  return typeof here === 'object' && here !== null ? (here as Tree) : undefined
}

/** The JSON pointer of a path. */
export const toPointer = (path: string[]): string =>
  path.map((p) => `/${p.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')

/** The path of a JSON pointer. */
export const fromPointer = (pointer: string): string[] =>
  pointer
    .slice(1)
    .split('/')
    .map((p) => p.replaceAll('~1', '/').replaceAll('~0', '~'))
