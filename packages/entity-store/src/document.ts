// SPDX-License-Identifier: Apache-2.0
import { invalid, newId, nowMicros } from '@open-nemo/contract'
import type { Secrets } from '@open-nemo/contract/secrets.ts'
import type { Kind } from './kinds.ts'
import { secretsOutside, takeSecrets } from './secrets.ts'

type Tree = Record<string, unknown>

/** An entity ready to be stored: its columns, its public document and the secrets taken out of it. */
export interface Entity {
  namespace: string
  name: string
  id: string
  created_at: string
  updated_at: string
  doc: Tree
  secrets: Secrets | null
}

const DEFAULT_NAMESPACE = 'default'
/** What the server decides; a body that holds them, such as an answer sent back, is not wrong. */
const SERVER_FIELDS = ['id', 'created_at', 'updated_at']

/** Makes the entity that a POST body asks for: id, name, times and defaults filled in. */
export function newEntity(kind: Kind, body: Tree): Entity {
  const given = Object.fromEntries(
    Object.entries(body).filter(([k, v]) => !isNullish(v) && !SERVER_FIELDS.includes(k)),
  )
  const now = nowMicros()
  const stamps = { created_at: now, updated_at: now }
  let id = newId(kind.kind)
  let namespace = ''
  let name = id
  let naming: Tree = {}
  if (kind.kind === 'namespace') {
    id = name = textOr(body.id, id)
  } else {
    namespace = textOr(given.namespace, DEFAULT_NAMESPACE)
    name = textOr(given.name, id)
    naming = { name, namespace }
  }
  const doc = { ...kind.defaults(), ...given, ...naming, id, ...stamps }
  return { namespace, name, id, ...stamps, doc, secrets: orNull(takeSecrets(doc, undefined)) }
}

/**
 * Makes the entity that a PATCH body asks for. A field that is absent, null or empty keeps its old value,
 * any other is replaced whole. Throws a 422 when the body would rename the entity.
 */
export function patchedEntity(kind: Kind, old: Entity, body: Tree): Entity {
  const fixed: Tree = kind.kind === 'namespace' ? { id: old.id } : { ...namesOf(old), id: old.id }
  for (const [field, value] of Object.entries(fixed)) {
    if (!isEmpty(body[field]) && body[field] !== value) {
      throw invalid(
        ['body', field],
        `cannot be changed: it is "${value}"; create another ${kind.kind} instead`,
      )
    }
  }
  const ignored = ['name', 'namespace', ...SERVER_FIELDS]
  const patch = Object.fromEntries(
    Object.entries(body).filter(([field, value]) => !ignored.includes(field) && !isEmpty(value)),
  )
  const before = { doc: old.doc, secrets: old.secrets ?? {} }
  const secrets = {
    ...secretsOutside(before.secrets, Object.keys(patch)),
    ...takeSecrets(patch, before),
  }
  const updated_at = nowMicros()
  return { ...old, updated_at, doc: { ...old.doc, ...patch, updated_at }, secrets: orNull(secrets) }
}

const namesOf = ({ name, namespace }: Entity) => ({ name, namespace })

const isNullish = (value: unknown) => value === null || value === undefined

function isEmpty(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return isNullish(value) || value === ''
}

const textOr = (value: unknown, fallback: string) =>
  typeof value === 'string' && value !== '' ? value : fallback

const orNull = (secrets: Secrets) => (Object.keys(secrets).length ? secrets : null)
