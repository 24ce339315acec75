// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeKube, object } from '../kube/fake.ts'
import { CRDS } from '../kube/resources.ts'
import { crds } from './crds.ts'

test('CRDs of ours are brought up to date, one of somebody else stays as it is', async () => {
  const kube = fakeKube()
  const theirs = object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'nimcaches.apps.nvidia.com')
  kube.put(CRDS, theirs)
  assert.equal(await crds({}, kube), 0)
  assert.equal(await kube.get(CRDS, 'nimcaches.apps.nvidia.com'), theirs)
  assert.equal(kube.writes.length, 8)
  assert.ok(kube.writes.includes('APPLY customresourcedefinitions/nemotrainingjobs.nvidia.com'))
  assert.equal(await crds({}, kube), 0)
  assert.equal(kube.writes.length, 16)
})

test('without the right it says what an administrator does', async () => {
  const kube = fakeKube()
  kube.forbidden.add('patch customresourcedefinitions')
  assert.equal(await crds({}, kube), 1)
})
