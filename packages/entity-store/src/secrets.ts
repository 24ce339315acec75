// SPDX-License-Identifier: Apache-2.0
import { invalid, walkFields } from '@open-nemo/contract'
import { MASKED_KEY } from '@open-nemo/contract/entity-store/schemas.ts'

/** Secret values taken out of a document, by JSON pointer. They live in a column that no answer reads. */
export type Secrets = Record<string, string>

type Tree = Record<string, unknown>

/**
 * Replaces each `api_key` in `value` by a mask, in place, and returns what was there.
 * A key that is the mask itself keeps what `previous` has at that place, and only while the `url` beside it
 * is the same: else whoever may change a URL could have the key sent to a server of their own.
 * Throws a 422 for text that PostgreSQL cannot hold (NUL, half surrogates), and for nesting beyond 32 levels.
 */
export function takeSecrets(value: Tree, previous: { doc: Tree; secrets: Secrets } | undefined): Secrets {
  const found: Secrets = {}
  walkFields(value, (holder, key, path) => {
    if (key !== 'api_key' || typeof holder[key] !== 'string' || holder[key] === '') return
    const pointer = toPointer(path)
    if (holder[key] === MASKED_KEY) {
      const kept = previous?.secrets[pointer]
      const before = at(previous?.doc, path.slice(0, -1))
      if (kept === undefined || before?.url !== holder.url) {
        throw invalid(['body', ...path], 'is the mask of a stored key: give the key itself')
      }
      found[pointer] = kept
    } else {
      found[pointer] = holder[key]
      holder[key] = MASKED_KEY
    }
  })
  return found
}

/** Puts secrets back into a document, for callers that hold the platform's own token. */
export function restoreSecrets(doc: Tree, secrets: Secrets | null): Tree {
  for (const [pointer, secret] of Object.entries(secrets ?? {})) {
    const path = fromPointer(pointer)
    const holder = at(doc, path.slice(0, -1))
    const key = path.at(-1)
    if (holder && key !== undefined) holder[key] = secret
  }
  return doc
}

/** The secrets that lie in fields other than `fields`. */
export function secretsOutside(secrets: Secrets, fields: readonly string[]): Secrets {
  return Object.fromEntries(
    Object.entries(secrets).filter(([pointer]) => !fields.includes(fromPointer(pointer)[0] ?? '')),
  )
}

function at(node: unknown, path: string[]): Tree | undefined {
  let here = node
  for (const key of path) {
    if (typeof here !== 'object' || here === null) return undefined
    here = (here as Tree)[key]
  }
  return typeof here === 'object' && here !== null ? (here as Tree) : undefined
}

const toPointer = (path: string[]) =>
  path.map((p) => `/${p.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
const fromPointer = (pointer: string) =>
  pointer
    .slice(1)
    .split('/')
    .map((p) => p.replaceAll('~1', '/').replaceAll('~0', '~'))
