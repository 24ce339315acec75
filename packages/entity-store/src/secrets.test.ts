// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { unmaskSecrets } from '@open-nemo/contract/secrets.ts'
import { secretsOutside, takeSecrets } from './secrets.ts'

test('keys are taken out at any depth and put back where they were', () => {
  const original = {
    api_endpoint: { api_key: 'a' },
    list: [{ 'x/y~z': { api_key: 'b' } }],
    api_key_env: 'NAME',
  }
  const doc = structuredClone(original)
  const secrets = takeSecrets(doc, undefined)
  assert.deepEqual(secrets, { '/api_endpoint/api_key': 'a', '/list/0/x~1y~0z/api_key': 'b' })
  assert.doesNotMatch(JSON.stringify(doc), /"[ab]"/)
  assert.deepEqual(unmaskSecrets(doc, secrets), original)
})

test('a mask keeps the stored key only beside the same url', () => {
  const previous = {
    doc: { api_endpoint: { url: 'https://a', api_key: '******' } },
    secrets: { '/api_endpoint/api_key': 'k' },
  }
  const same = { api_endpoint: { url: 'https://a', api_key: '******' } }
  assert.deepEqual(takeSecrets(same, previous), previous.secrets)
  const moved = { api_endpoint: { url: 'https://b', api_key: '******' } }
  assert.throws(() => takeSecrets(moved, previous), { name: 'ValidationError' })
  assert.throws(() => takeSecrets(same, undefined), { name: 'ValidationError' })
})

test('a replaced field loses its secrets and others keep theirs', () => {
  assert.deepEqual(secretsOutside({ '/a/api_key': '1', '/ab/api_key': '2' }, ['a']), { '/ab/api_key': '2' })
})

test('text that PostgreSQL cannot hold names its place', () => {
  assert.throws(
    () => takeSecrets({ a: [{ b: 'x\0' }] }, undefined),
    (error: { items?: unknown }) => {
      assert.deepEqual((error.items as [{ loc: unknown }])[0].loc, ['body', 'a', '0', 'b'])
      return true
    },
  )
})
