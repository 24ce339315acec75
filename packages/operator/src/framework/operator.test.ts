// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { APPS_API } from '@open-nemo/contract/kubernetes/crds.ts'
import { operatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import { silentLogger } from '@open-nemo/runtime/telemetry/log.ts'
import { FakeApi } from '../testing/fake-api.ts'
import { FaultProxy } from '../testing/fault-proxy.ts'
import { KubeClient } from './client.ts'
import type { Connection } from './connection.ts'
import { electLeader } from './leader.ts'
import { type Operator, startOperator } from './operator.ts'
import type { WatchTimes } from './reflector.ts'
import type { Controller, KubeObject, Plan } from './types.ts'

const TIMES: WatchTimes = {
  watchMs: 1_000,
  graceMs: 200,
  resyncMs: 1_500,
  firstRetryMs: 20,
  lastRetryMs: 100,
}

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** Copies a Secret's content into a ConfigMap named as the resource: the smallest thing that uses everything. */
const controller = (more: (resource: KubeObject) => Partial<Plan> = () => ({})): Controller => ({
  apiVersion: APPS_API,
  kind: 'NIMPipeline',
  plural: 'nimpipelines',
  owns: [
    { apiVersion: 'v1', kind: 'ConfigMap' },
    { apiVersion: 'v1', kind: 'Secret' },
  ],
  references: (r) => [{ apiVersion: 'v1', kind: 'Secret', name: String((r.spec as { from: string }).from) }],
  plan(resource, world) {
    const { from, value } = resource.spec as { from: string; value?: string }
    const secret = world.get({ apiVersion: 'v1', kind: 'Secret', name: from })
    const { name } = resource.metadata
    const ready = { type: 'Ready', status: secret ? 'True' : 'False', reason: 'R', message: '' }
    return {
      apply: secret
        ? [
            {
              apiVersion: 'v1',
              kind: 'ConfigMap',
              metadata: { name },
              data: { copy: String((secret.data as { x: string }).x), ...(value ? { value } : {}) },
            },
          ]
        : [],
      status: { state: secret ? 'Ready' : 'NotReady', conditions: [ready] },
      ...more(resource),
    }
  },
})

async function setUp(given: Controller = controller()) {
  const api = new FakeApi()
  const server = await api.start()
  undo.push(() => api.stop())
  const proxy = new FaultProxy({ server, namespace: 'ns', tls: {}, headers: async () => ({}) })
  const connection = await proxy.start()
  undo.push(async () => {
    await proxy.stop()
    proxy.close()
  })
  const operator = await start(connection, given)
  return { api, proxy, operator, connection }
}

async function start(connection: Connection, given: Controller, lead = true): Promise<Operator> {
  const client = new KubeClient(connection)
  const operator = await startOperator({
    name: 'test',
    client,
    controllers: [given],
    namespaces: ['ns'],
    defaults: () => operatorDefaults.parse({}),
    log: silentLogger(),
    times: TIMES,
    discoveryMs: 300,
  })
  undo.push(async () => {
    await operator.stop()
    client.close()
  })
  await until(() => operator.missing().length === 0)
  if (lead) operator.lead()
  return operator
}

async function until(check: () => unknown, ms = 5_000): Promise<number> {
  const begun = Date.now()
  while (!check()) {
    if (Date.now() - begun > ms) assert.fail(`not within ${ms} ms: ${check}`)
    await sleep(10)
  }
  return Date.now() - begun
}

const state = (api: FakeApi, name = 'a') =>
  (api.get('nimpipelines', name)?.status as { state?: string } | undefined)?.state
const copy = (api: FakeApi, name = 'a') =>
  (api.get('configmaps', name)?.data as { copy?: string } | undefined)?.copy

const resource = (name: string, spec: Record<string, unknown> = { from: 's' }) => ({
  metadata: { name },
  spec,
})
const secret = (x: string) => ({ metadata: { name: 's' }, data: { x } })

test('a missing Secret is waited for and used at once when it comes; its changes and edits follow', async () => {
  const { api } = await setUp()
  api.put('nimpipelines', resource('a'))
  await until(() => state(api) === 'NotReady')
  api.put('secrets', secret('1'))
  await until(() => state(api) === 'Ready' && copy(api) === '1')
  api.put('secrets', secret('2'))
  await until(() => copy(api) === '2')
  const owner = api.get('configmaps', 'a')?.metadata.ownerReferences?.[0]
  assert.equal(owner?.uid, api.get('nimpipelines', 'a')?.metadata.uid)
})

test('when nothing changes nothing is written, over resyncs and a restart of the operator', async () => {
  const { api, operator, connection } = await setUp()
  api.put('secrets', secret('1'))
  for (const name of ['a', 'b', 'c']) api.put('nimpipelines', resource(name))
  await until(() => state(api, 'c') === 'Ready')
  await sleep(100)
  const before = api.realWrites.length
  operator.resync()
  await sleep(2_000)
  await operator.stop()
  await start(connection, controller())
  await sleep(300)
  assert.deepEqual(api.realWrites.slice(before), [])
})

test('what somebody else changes or deletes is put right', async () => {
  const { api } = await setUp()
  api.put('secrets', secret('1'))
  api.put('nimpipelines', resource('a'))
  await until(() => copy(api) === '1')
  const live = api.get('configmaps', 'a')
  api.put('configmaps', { metadata: live?.metadata ?? { name: 'a' }, data: { copy: 'changed' } })
  await until(() => copy(api) === '1')
  api.delete('configmaps', 'a')
  await until(() => copy(api) === '1')
})

test('a watch that goes silent while its connection stays is noticed within its time and grace', async () => {
  const { api, proxy } = await setUp()
  api.put('secrets', secret('1'))
  api.put('nimpipelines', resource('a'))
  await until(() => copy(api) === '1')
  assert.ok(proxy.silenceWatches() >= 3)
  api.put('secrets', secret('2'))
  const took = await until(() => copy(api) === '2')
  assert.ok(took <= TIMES.watchMs + TIMES.graceMs + 1_000, `${took} ms`)
})

test('history that is gone (410), errors, throttling and conflicts are got over', async () => {
  const { api, proxy } = await setUp()
  api.put('secrets', secret('1'))
  api.put('nimpipelines', resource('a'))
  await until(() => copy(api) === '1')
  api.compact()
  api.put('secrets', secret('2'))
  await until(() => copy(api) === '2')
  for (const status of [500, 503, 409, 429]) {
    let left = 3
    proxy.fault = ({ method }) => (method === 'PATCH' && left-- > 0 ? { status, retryAfter: 0 } : undefined)
    api.put('secrets', secret(`after ${status}`))
    await until(() => copy(api) === `after ${status}`)
    assert.ok(left <= 0, `no fault with ${status} was met`)
  }
})

test('an API server that is away and comes back is followed again within its last back-off', async () => {
  const { api, proxy } = await setUp()
  api.put('secrets', secret('1'))
  api.put('nimpipelines', resource('a'))
  await until(() => copy(api) === '1')
  await proxy.stop()
  api.put('secrets', secret('2'))
  await sleep(500)
  await proxy.start()
  const took = await until(() => copy(api) === '2')
  assert.ok(took <= 1_000, `${took} ms`)
})

test('an object that is somebody else’s is left alone, and the condition says what to do', async () => {
  const { api } = await setUp()
  api.put('secrets', secret('1'))
  api.put('configmaps', { metadata: { name: 'a' }, data: { mine: 'yes' } })
  api.put('nimpipelines', resource('a'))
  type Status = { conditions: { reason: string; message: string }[] } | undefined
  const ready = () => (api.get('nimpipelines', 'a')?.status as Status)?.conditions[0]
  await until(() => ready()?.reason === 'ConfigMapNameTaken')
  assert.match(ready()?.message ?? '', /rename the NIMPipeline, or delete that ConfigMap/)
  assert.deepEqual(api.get('configmaps', 'a')?.data, { mine: 'yes' })
})

test('a resource that NVIDIA’s operator manages is left alone until the annotation hands it over', async () => {
  const { api } = await setUp()
  api.put('secrets', secret('1'))
  const finalizers = ['finalizer.nimpipeline.apps.nvidia.com']
  api.put('nimpipelines', { ...resource('a'), metadata: { name: 'a', finalizers } })
  const aside = () =>
    (api.get('nimpipelines', 'a')?.status as { conditions?: { type: string }[] } | undefined)?.conditions?.[0]
  await until(() => aside()?.type === 'StoodAside')
  await sleep(100)
  assert.equal(api.get('configmaps', 'a'), undefined)
  const annotations = { 'open-nemo.io/managed': 'true' }
  api.put('nimpipelines', { ...resource('a'), metadata: { name: 'a', finalizers, annotations } })
  await until(() => state(api) === 'Ready')
})

test('a CRD that is not ours makes the operator stand aside from the whole kind', async () => {
  const { api } = await setUp()
  api.put('secrets', secret('1'))
  api.foreign.add('NIMPipeline')
  await sleep(500)
  api.put('nimpipelines', resource('a'))
  await until(() => JSON.stringify(api.get('nimpipelines', 'a')?.status ?? '').includes('StoodAside'))
  assert.equal(api.get('configmaps', 'a'), undefined)
  api.foreign.clear()
  await until(() => state(api) === 'Ready')
})

test('a CRD whose schema is not published yet is not taken for another’s', async () => {
  const { api } = await setUp()
  api.put('secrets', secret('1'))
  api.unpublished.add('NIMPipeline')
  await sleep(500)
  api.put('nimpipelines', resource('a'))
  await sleep(200)
  assert.equal(api.get('nimpipelines', 'a')?.status, undefined)
  api.unpublished.clear()
  await until(() => state(api) === 'Ready')
})

test('an Event is written once, however often the same is planned', async () => {
  const said = { type: 'Warning' as const, reason: 'Because', message: 'of this' }
  const { api, operator } = await setUp(controller(() => ({ events: [said] })))
  api.put('secrets', secret('1'))
  api.put('nimpipelines', resource('a'))
  const events = () => api.writes.filter((w) => w.path.endsWith('/events')).length
  await until(() => events() === 1)
  operator.resync()
  await sleep(200)
  assert.equal(events(), 1)
})

test('one of two leads; the other takes over when the Lease is given back, and at once', async () => {
  const { api, connection } = await setUp()
  const times = { leaseMs: 1_500, giveUpMs: 1_000, renewMs: 100, retryMs: 50 }
  const elect = (identity: string) => {
    const client = new KubeClient(connection)
    undo.push(() => client.close())
    const leadership = electLeader({
      client,
      namespace: 'ns',
      name: 'l',
      identity,
      log: silentLogger(),
      times,
    })
    undo.push(() => leadership.release())
    return leadership
  }
  const first = elect('one')
  await first.acquired
  const second = elect('two')
  await sleep(400)
  assert.equal(second.isLeader(), false)
  await first.release()
  await until(() => second.isLeader(), 500)
  const lease = api.get('leases', 'l')?.spec as { holderIdentity: string; leaseTransitions: number }
  assert.equal(lease.holderIdentity, 'two')
})

test('a leader that cannot renew gives up before another may lead', async () => {
  const { proxy, connection } = await setUp()
  const times = { leaseMs: 1_000, giveUpMs: 400, renewMs: 100, retryMs: 50 }
  const client = new KubeClient(connection)
  undo.push(() => client.close())
  const leadership = electLeader({
    client,
    namespace: 'ns',
    name: 'l',
    identity: 'x',
    log: silentLogger(),
    times,
  })
  await leadership.acquired
  proxy.fault = ({ url }) => (url?.includes('/leases') ? { status: 500 } : undefined)
  const begun = Date.now()
  await leadership.lost
  assert.ok(Date.now() - begun < times.leaseMs)
  assert.equal(leadership.isLeader(), false)
})
