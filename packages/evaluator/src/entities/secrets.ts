// SPDX-License-Identifier: Apache-2.0
import {
  MASK,
  maskSecrets,
  type SecretFields,
  type Secrets,
  toPointer,
  unmaskSecrets,
} from '@open-nemo/contract/secrets.ts'

export type { Secrets }

type Tree = Record<string, unknown>

/** Fields whose text is a secret, such as `api_key`, `hf_token`, `Authorization`. */
const SECRET_FIELD =
  /^(.*[_-])?(api[_-]?key|token|password|secret|secret[_-]?key|access[_-]?key|authorization)$/i

const FIELDS: SecretFields = {
  isSecret: (key) => SECRET_FIELD.test(key),
  /** A URL given back as it was answered keeps the user and password that it was stored with. */
  split(key, given, kept) {
    if (key !== 'url') return undefined
    const isKept = kept !== undefined && withoutCredentials(kept) === given
    const secret = hasCredentials(given) ? given : isKept ? kept : undefined
    return secret === undefined ? undefined : { secret, shown: withoutCredentials(secret) }
  },
}

/** Replaces each secret in `value` by a mask, in place, and returns what was there. See maskSecrets. */
export function takeSecrets(value: Tree, previous?: { doc: Tree; secrets: Secrets }): Secrets {
  return maskSecrets(value, FIELDS, previous)
}

/** A copy of a masked document with its secrets in clear. */
export function restoreSecrets<T extends object>(doc: T, secrets: Secrets): T {
  return unmaskSecrets(structuredClone(doc), secrets)
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
      if (part.length >= 4 && part !== MASK) known.add(part)
    }
  }
  for (const secret of secrets) add(secret)
  const text = (given: string) => {
    let out = given
    for (const secret of known) out = out.replaceAll(secret, MASK)
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
