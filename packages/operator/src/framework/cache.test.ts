// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Store } from './cache.ts'
import type { KubeObject } from './types.ts'

const pod = (name: string, version: string, labels: Record<string, string>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'ns', uid: `u-${name}`, resourceVersion: version, labels },
  spec: { nodeName: 'n', containers: [{ name: 'large' }] },
  status: { phase: 'Running' },
})

const names = (objects: KubeObject[]) => objects.map((o) => o.metadata.name).sort()

test('lists by label follow changes, deletions and other namespaces', () => {
  const store = new Store()
  store.upsert(pod('a', '1', { job: 'x' }))
  assert.deepEqual(names(store.list('ns', { job: 'x' })), ['a'])
  store.upsert(pod('b', '2', { job: 'x', part: '1' }))
  assert.deepEqual(names(store.list('ns', { job: 'x' })), ['a', 'b'])
  assert.deepEqual(names(store.list('ns', { job: 'x', part: '1' })), ['b'])
  assert.deepEqual(store.list('other', { job: 'x' }), [])
  store.upsert(pod('a', '3', { job: 'y' }))
  assert.deepEqual(names(store.list('ns', { job: 'x' })), ['b'])
  store.upsert(pod('a', '4', { job: 'y' }))
  store.retain('other', new Set())
  store.retain('ns', new Set(['ns/a']), '4')
  assert.deepEqual([names(store.list('ns', { job: 'x' })), names(store.list('ns'))], [[], ['a']])
})

test('a list does not take away what was made after it', () => {
  const store = new Store()
  store.upsert(pod('gone', '9', {}))
  store.upsert(pod('made', '11', {}))
  store.retain('', new Set(), '10')
  assert.deepEqual(names(store.list('ns')), ['made'])
  store.retain('', new Set())
  assert.deepEqual(names(store.list('ns')), [])
})

test('an older version never replaces a newer one, and 10 is newer than 9', () => {
  const store = new Store()
  store.upsert(pod('a', '10', { v: 'new' }))
  store.upsert(pod('a', '9', { v: 'old' }))
  assert.equal(store.get('ns', 'a')?.metadata.labels?.v, 'new')
})

test('what is never read is not kept', () => {
  const store = new Store()
  const given = pod('a', '1', {})
  store.upsert({ ...given, metadata: { ...given.metadata, managedFields: [1] } as KubeObject['metadata'] })
  const kept = store.get('ns', 'a')
  assert.deepEqual(kept?.spec, { nodeName: 'n' })
  assert.ok(!('managedFields' in (kept?.metadata ?? {})))
})
