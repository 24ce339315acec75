// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fakeKube, object } from '../kube/fake.ts'
import {
  customResource,
  NAMESPACES,
  PODS,
  ROLE_BINDINGS_EVERYWHERE,
  SCCS,
  SECRETS,
} from '../kube/resources.ts'
import { cleanUp, cleanup, dropScc, proofOfUninstall } from './cleanup.ts'
import { ownScc } from './scc.ts'

const API = 'apps.nvidia.com/v1alpha1'
const CUSTOMIZERS = customResource('NemoCustomizer')
const CACHES = customResource('NIMCache')
const SERVICES = customResource('NIMService')

const record = (status: string) =>
  object('v1', 'Secret', 'sh.helm.release.v1.r.v2', {
    metadata: { labels: { owner: 'helm', name: 'r', status } },
  })

const resource = (kind: string, name: string, metadata = {}) =>
  object(API, kind, name, { metadata: { uid: `uid-${name}`, ...metadata } })

const plan = {
  release: 'r',
  resources: [
    { kind: 'NemoCustomizer', name: 'nemocustomizer-sample' },
    { kind: 'NIMCache', name: 'nimcache-sample' },
  ],
  timeoutMs: 200,
  graceMs: 20,
  pollMs: 5,
  log: () => undefined,
}
const env = {
  RELEASE: 'r',
  RESOURCES: JSON.stringify(plan.resources),
  TIMEOUT_SECONDS: '1',
  GRACE_SECONDS: '0',
}

test('nothing is deleted unless the release is being uninstalled or the namespace is going', async () => {
  const kube = fakeKube()
  kube.put(CUSTOMIZERS, resource('NemoCustomizer', 'nemocustomizer-sample'))
  assert.equal(await cleanup(env, kube), 0)
  kube.put(SECRETS, record('deployed'))
  assert.equal(await cleanup(env, kube), 0)
  assert.deepEqual(kube.writes, [])
  kube.put(SECRETS, record('uninstalling'))
  assert.match((await proofOfUninstall(kube, 'r')) ?? '', /uninstalling/)
  assert.equal(await proofOfUninstall(kube, 'other'), undefined)
  assert.equal(await cleanup(env, kube), 0)
  assert.deepEqual(kube.writes, ['DELETE nemocustomizers/nemocustomizer-sample'])
  const going = fakeKube()
  going.put(NAMESPACES, object('v1', 'Namespace', 'nemo', { metadata: { deletionTimestamp: 'x' } }))
  assert.match((await proofOfUninstall(going, 'r')) ?? '', /namespace/)
})

test('only the resources of this release go, with what they own', async () => {
  const kube = fakeKube()
  const owner = { apiVersion: API, kind: 'NIMCache', name: 'nimcache-sample', uid: 'uid-nimcache-sample' }
  kube.put(CACHES, resource('NIMCache', 'nimcache-sample'), resource('NIMCache', 'mine'))
  kube.put(
    CUSTOMIZERS,
    resource('NemoCustomizer', 'nemocustomizer-sample', {
      annotations: { 'meta.helm.sh/release-name': 'another' },
    }),
  )
  kube.put(
    SERVICES,
    resource('NIMService', 'owned', { ownerReferences: [owner] }),
    resource('NIMService', 'free'),
  )
  assert.deepEqual(await cleanUp(kube, plan), [])
  assert.deepEqual(kube.writes, ['DELETE nimcaches/nimcache-sample', 'DELETE nimservices/owned'])
})

test('with the operators dead, finalizers of NVIDIA come off, those of the garbage collector stay', async () => {
  const kube = fakeKube()
  kube.put(
    CACHES,
    resource('NIMCache', 'nimcache-sample', { finalizers: ['finalizer.nimcache.apps.nvidia.com'] }),
  )
  kube.put(
    CUSTOMIZERS,
    resource('NemoCustomizer', 'nemocustomizer-sample', {
      finalizers: ['acme.com/guard', 'foregroundDeletion'],
    }),
  )
  assert.deepEqual(await cleanUp(kube, plan), ['nemocustomizers/nemocustomizer-sample'])
  assert.equal(await kube.get(CACHES, 'nimcache-sample'), undefined)
  const left = await kube.get(CUSTOMIZERS, 'nemocustomizer-sample')
  assert.deepEqual(left?.metadata.finalizers, ['foregroundDeletion'])
})

test('a webhook that refuses does not end it, and pods are waited for within the time', async () => {
  const kube = fakeKube()
  kube.put(
    CACHES,
    resource('NIMCache', 'nimcache-sample', { finalizers: ['finalizer.nimcache.apps.nvidia.com'] }),
  )
  kube.forbidden.add('patch nimcaches')
  const labels = { 'app.kubernetes.io/instance': 'nemocustomizer-sample' }
  kube.put(
    PODS,
    object('v1', 'Pod', 'p', { metadata: { labels }, status: { phase: 'Running' } }),
    object('v1', 'Pod', 'done', { metadata: { labels }, status: { phase: 'Succeeded' } }),
  )
  const begun = Date.now()
  assert.deepEqual(await cleanUp(kube, plan), ['nimcaches/nimcache-sample', 'pods/p'])
  assert.ok(Date.now() - begun < 2000)
})

test('the shared constraint goes with the last namespace that binds it', async () => {
  const kube = fakeKube()
  kube.put(SECRETS, record('uninstalling'))
  const scc = object('security.openshift.io/v1', 'SecurityContextConstraints', 'nemo-customizer-scc')
  const binding = (namespace: string) =>
    object('rbac.authorization.k8s.io/v1', 'RoleBinding', 'customizer-scc-nemo-customizer-scc-binding', {
      metadata: { namespace },
    })
  kube.put(SCCS, scc)
  kube.put(ROLE_BINDINGS_EVERYWHERE, binding('other'))
  kube.put(NAMESPACES, object('v1', 'Namespace', 'other', { metadata: { uid: 'uid-other' } }))
  assert.match(await ownScc(kube, 'nemo-customizer-scc'), /belongs to other/)
  const owners = async () =>
    (await kube.get(SCCS, 'nemo-customizer-scc'))?.metadata.ownerReferences?.map(({ uid }) => uid)
  assert.deepEqual(await owners(), ['uid-other'])
  assert.match(await dropScc(kube, 'nemo-customizer-scc'), /stays: other still uses it/)
  assert.deepEqual(await owners(), ['uid-other'])
  kube.writes.length = 0
  kube.put(ROLE_BINDINGS_EVERYWHERE, binding('nemo'))
  assert.equal(await cleanup({ ...env, SCC: 'nemo-customizer-scc' }, kube), 0)
  assert.deepEqual(kube.writes, ['DELETE securitycontextconstraints/nemo-customizer-scc'])
})

test('with nothing there it ends at once', async () => {
  const kube = fakeKube()
  kube.put(SECRETS, record('uninstalling'))
  assert.equal(await cleanup(env, kube), 0)
  assert.deepEqual(kube.writes, [])
  await assert.rejects(cleanup({ ...env, RESOURCES: 'x' }, kube), /RESOURCES/)
})
