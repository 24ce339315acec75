// SPDX-License-Identifier: Apache-2.0
import type { KubeObject, World } from '../framework/types.ts'
import { secretRef, secretText } from './inputs.ts'
import type { Fields } from './types.ts'

export interface DatabaseSpec {
  host: string
  port: number
  databaseName: string
  credentials: { user: string; secretName: string; passwordKey: string }
}

export interface DatabaseAccess {
  password: string | undefined
  missing: string[]
  /** `postgresql://user:password@host:port/name`, percent-encoded. */
  url: string | undefined
  passwordRef: Fields
}

/** The database of a resource: its URL, or what is missing and how to mend it. */
export function databaseAccess(database: DatabaseSpec, world: World): DatabaseAccess {
  const { user, secretName, passwordKey } = database.credentials
  const secret = world.get(secretRef(secretName))
  const password = secretText(secret, passwordKey)
  const missing: string[] = []
  if (!secret)
    missing.push(
      `Secret ${secretName} with the database password does not exist: make it with the key ${passwordKey} ` +
        `(kubectl create secret generic ${secretName} --from-literal=${passwordKey}=…)`,
    )
  else if (!password)
    missing.push(
      `Secret ${secretName} has no key ${passwordKey}: add it, or set databaseConfig.credentials.passwordKey`,
    )
  const { host, port, databaseName } = database
  const login = `${encodeURIComponent(user)}:${encodeURIComponent(password ?? '')}`
  return {
    password,
    missing,
    url: password ? `postgresql://${login}@${host}:${port}/${encodeURIComponent(databaseName)}` : undefined,
    passwordRef: { secretKeyRef: { name: secretName, key: passwordKey } },
  }
}

/** The Secret named as the resource that holds the database's URL under one key. */
export const urlSecret = (name: string, key: string, url: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name },
  type: 'Opaque',
  data: { [key]: Buffer.from(url).toString('base64') },
})

export const fromSecret = (name: string, key: string, more: Fields = {}): Fields => ({
  secretKeyRef: { name, key, ...more },
})
