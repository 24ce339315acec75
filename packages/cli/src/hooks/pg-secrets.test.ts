// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeKube, object } from '../kube/fake.ts'
import { CONFIG_MAPS, SECRETS } from '../kube/resources.ts'
import { copySecrets, pgSecrets } from './pg-secrets.ts'

const base64 = (text: string) => Buffer.from(text).toString('base64')
const secret = (name: string, password: string) =>
  object('v1', 'Secret', name, { data: { password: base64(password) } })
const wanted = [{ name: 'evaluator-pg-existing-secret', from: 'r-evaluator-postgresql', key: 'password' }]
const options = { labels: { a: 'b' }, timeoutMs: 40, pollMs: 5, log: () => undefined }

test('an absent Secret is made from the infrastructure, every character kept', async () => {
  const kube = fakeKube()
  const password = ` !"#$%&'()*+,-./:;<=>?@[\\]^_\`{|}~`
  kube.put(SECRETS, secret('r-evaluator-postgresql', password))
  assert.deepEqual(await copySecrets(kube, wanted, options), [])
  const made = await kube.get(SECRETS, 'evaluator-pg-existing-secret')
  assert.deepEqual(made?.stringData, { password })
  assert.deepEqual(made?.metadata.labels, { a: 'b' })
})

test('one made by hand wins', async () => {
  const kube = fakeKube()
  const mine = secret('evaluator-pg-existing-secret', 'evalpass')
  kube.put(SECRETS, mine, secret('r-evaluator-postgresql', 'other'))
  assert.deepEqual(await copySecrets(kube, wanted, options), [])
  assert.equal(await kube.get(SECRETS, 'evaluator-pg-existing-secret'), mine)
  assert.deepEqual(kube.writes, [])
})

test('a source that comes later is waited for, one that never comes is named', async () => {
  const kube = fakeKube()
  const coming = setTimeout(() => kube.put(SECRETS, secret('r-evaluator-postgresql', 'p')), 10)
  assert.deepEqual(await copySecrets(kube, wanted, { ...options, timeoutMs: 1000 }), [])
  clearTimeout(coming)
  const env = { COPIES: JSON.stringify([{ name: 'x', from: 'gone' }]), TIMEOUT_SECONDS: '0' }
  assert.equal(await pgSecrets(env, kube), 1)
})

test('the shared token is made once and belongs to the release', async () => {
  const kube = fakeKube()
  kube.put(CONFIG_MAPS, object('v1', 'ConfigMap', 'defaults', { metadata: { uid: 'u' } }))
  const env = { TOKEN_SECRET: 'nemo-internal-token', OWNER_CONFIG_MAP: 'defaults' }
  assert.equal(await pgSecrets(env, kube), 0)
  const token = await kube.get(SECRETS, 'nemo-internal-token')
  assert.match((token?.stringData as { token: string } | undefined)?.token ?? '', /^[A-Za-z0-9]{32}$/)
  assert.deepEqual(token?.metadata.ownerReferences, [
    { apiVersion: 'v1', kind: 'ConfigMap', name: 'defaults', uid: 'u' },
  ])
  assert.equal(await pgSecrets(env, kube), 0)
  assert.equal(kube.writes.length, 1)
})
