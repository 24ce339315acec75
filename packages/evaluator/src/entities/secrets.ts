// SPDX-License-Identifier: Apache-2.0
import { invalid, walkFields } from '@open-nemo/contract'
import { MASKED_SECRET } from '@open-nemo/contract/evaluation/schemas.ts'

/** Secret values taken out of a document, by JSON pointer. */
export type Secrets = Record<string, string>
type Tree = Record<string, unknown>

/** Fields whose text is a secret, such as `api_key`, `hf_token`, `Authorization`. */
const SECRET_FIELD =
  /^(.*[_-])?(api[_-]?key|token|password|secret|secret[_-]?key|access[_-]?key|authorization)$/i

/**
 * Replaces each secret in `value` by a mask, in place, and returns what was there. A field that holds the mask keeps
 * what `previous` has at that place, and only while the `url` beside it is the same: else whoever may change a URL
 * could have the key sent to a server of their own. Throws a 422 for text that PostgreSQL cannot hold, for nesting
 * that is too deep, and for a mask that stands for nothing.
 */
export function takeSecrets(value: Tree, previous?: { doc: Tree; secrets: Secrets }): Secrets {
  const found: Secrets = {}
  /** A URL given back as it was answered keeps the user and password that it was stored with. */
  const keptUrl = (given: string, pointer: string) => {
    const kept = previous?.secrets[pointer]
    return kept !== undefined && withoutCredentials(kept) === given ? kept : undefined
  }
  walkFields(value, (holder, key, path) => {
    const given = holder[key]
    if (typeof given !== 'string' || given === '') return
    const pointer = toPointer(path)
    if (key === 'url') {
      const whole = hasCredentials(given) ? given : keptUrl(given, pointer)
      if (whole === undefined) return
      found[pointer] = whole
      holder[key] = withoutCredentials(whole)
      return
    }
    if (!SECRET_FIELD.test(key)) return
    if (given !== MASKED_SECRET) {
      found[pointer] = given
      holder[key] = MASKED_SECRET
      return
    }
    const kept = previous?.secrets[pointer]
    if (kept === undefined || at(previous?.doc, path.slice(0, -1))?.url !== holder.url) {
      throw invalid(['body', ...path], 'is the mask of a stored secret: give the secret itself')
    }
    found[pointer] = kept
  })
  return found
}

/** A copy of a masked document with its secrets in clear. */
export function restoreSecrets<T extends object>(doc: T, secrets: Secrets): T {
  const copy = structuredClone(doc) as Tree
  for (const [pointer, secret] of Object.entries(secrets)) {
    const path = fromPointer(pointer)
    const holder = at(copy, path.slice(0, -1))
    const key = path.at(-1)
    if (holder && key !== undefined) holder[key] = secret
  }
  return copy as T
}

/** The same secrets for a document that now stands under `key` of another. */
export function secretsUnder(key: string, secrets: Secrets): Secrets {
  return Object.fromEntries(
    Object.entries(secrets).map(([pointer, secret]) => [toPointer([key]) + pointer, secret]),
  )
}

/** Masks every occurrence of the secrets in a text. Short ones are left: they would mask ordinary words. */
export function createRedactor(secrets: Iterable<string>): {
  add(secret: string): void
  text(text: string): string
  value<T>(value: T): T
} {
  const known = new Set<string>()
  const add = (secret: string) => {
    // An address is needed to understand an error; only what it carries to be let in is a secret.
    for (const part of isUrl(secret) ? credentialsOf(secret) : [secret]) {
      if (part.length >= 4 && part !== MASKED_SECRET) known.add(part)
    }
  }
  for (const secret of secrets) add(secret)
  const text = (given: string) => {
    let out = given
    for (const secret of known) out = out.replaceAll(secret, MASKED_SECRET)
    return out
  }
  const value = <T>(given: T): T => {
    if (known.size === 0) return given
    if (typeof given === 'string') return text(given) as T
    if (Array.isArray(given)) return given.map(value) as T
    if (typeof given !== 'object' || given === null) return given
    return Object.fromEntries(Object.entries(given).map(([key, inner]) => [text(key), value(inner)])) as T
  }
  return { add, text, value }
}

export type Redactor = ReturnType<typeof createRedactor>

const isUrl = (text: string) => /^https?:\/\//i.test(text) && URL.canParse(text)

const hasCredentials = (url: string) => /^https?:\/\/[^/?#]*@/i.test(url)

function withoutCredentials(url: string): string {
  return url.replace(/^(https?:\/\/)[^/?#]*@/i, '$1')
}

/** What lets one in, in an address: the password, or the name when it stands alone, and the query. */
function credentialsOf(text: string): string[] {
  const { username, password, search } = new URL(text)
  const name = password || username
  return [name, decoded(name), search.slice(1)].filter((part) => part !== '')
}

/** The text itself where it only looks encoded. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function at(node: unknown, path: string[]): Tree | undefined {
  let here = node
  for (const key of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, key)) return undefined
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
