// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { V1Secret } from '@kubernetes/client-node'
import type { Secrets } from './cluster.ts'
import { ensureSecrets, newPassword, passwords, type WantedSecret } from './passwords.ts'

function fakeSecrets(existing: V1Secret[] = []): Secrets & { all: Map<string, V1Secret> } {
  const all = new Map(existing.map((s) => [s.metadata?.name ?? '', s]))
  return {
    all,
    read: async (name) => all.get(name),
    create: async (secret) => {
      const name = secret.metadata?.name ?? ''
      if (all.has(name)) return false
      const data = Object.fromEntries(
        Object.entries(secret.stringData ?? {}).map(([k, v]) => [k, Buffer.from(v).toString('base64')]),
      )
      all.set(name, { ...secret, data })
      return true
    },
  }
}

const wanted: WantedSecret[] = [
  { name: 'r-postgresql', generate: ['password'], values: {} },
  { name: 'r-minio', generate: ['root-password'], values: { 'root-user': 'minio' } },
]

test('absent Secrets are made once, with strong passwords that differ', async () => {
  const secrets = fakeSecrets()
  await ensureSecrets(secrets, wanted, { a: 'b' })
  const first = secrets.all.get('r-postgresql')
  assert.match(first?.stringData?.password ?? '', /^[A-Za-z0-9]{32}$/)
  assert.deepEqual(first?.metadata?.labels, { a: 'b' })
  assert.equal(secrets.all.get('r-minio')?.stringData?.['root-user'], 'minio')
  const report = await ensureSecrets(secrets, wanted, {})
  assert.equal(secrets.all.get('r-postgresql'), first)
  assert.deepEqual(report, ['r-postgresql: exists, left as it is', 'r-minio: exists, left as it is'])
  assert.equal(new Set(Array.from({ length: 100 }, newPassword)).size, 100)
})

test('one made by hand wins, and one without the key is named, not changed', async () => {
  const mine: V1Secret = { metadata: { name: 'r-postgresql' }, data: { password: 'bWluZQ==' } }
  const secrets = fakeSecrets([mine, { metadata: { name: 'r-minio' }, data: { user: 'eA==' } }])
  await assert.rejects(ensureSecrets(secrets, wanted, {}), /r-minio exists without root-password, root-user/)
  assert.equal(secrets.all.get('r-postgresql'), mine)
})

test('a refusal that may pass is tried again, and the last one is shown', async () => {
  let calls = 0
  const flaky = async () => {
    calls++
    if (calls < 3) throw new Error('connect ECONNREFUSED')
    return fakeSecrets()
  }
  const env = { SECRETS: JSON.stringify(wanted), LABELS: '{}' }
  assert.equal(await passwords(env, { secrets: flaky, waitMs: 1 }), 0)
  assert.equal(calls, 3)
  const down = async () => {
    throw new Error('HTTP-Code: 403')
  }
  await assert.rejects(passwords(env, { secrets: down, attempts: 2, waitMs: 1 }), /403/)
  await assert.rejects(passwords({ SECRETS: '{' }), /SECRETS is no JSON/)
})
