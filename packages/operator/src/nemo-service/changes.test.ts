// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { operatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import { silentLogger } from '@open-nemo/runtime/telemetry/log.ts'
import { KubeClient } from '../framework/client.ts'
import { startOperator } from '../framework/operator.ts'
import { FakeApi } from '../testing/fake-api.ts'
import { customizerController } from './index.ts'
import { CLUSTER, SAMPLES } from './samples.ts'

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** A Customizer on a stand-in for the API server, reconciled until its Deployment is there. */
async function customizerOn(api: FakeApi) {
  const client = new KubeClient({
    server: await api.start(),
    namespace: 'ns',
    tls: {},
    headers: async () => ({}),
  })
  undo.push(() => api.stop())
  const operator = await startOperator({
    name: 'test',
    client,
    controllers: [customizerController],
    namespaces: ['ns'],
    defaults: () => operatorDefaults.parse({}),
    log: silentLogger(),
  })
  undo.push(async () => {
    await operator.stop()
    client.close()
  })
  await until(() => operator.missing().length === 0)
  operator.lead()
  const plurals: Record<string, string> = { Secret: 'secrets', ConfigMap: 'configmaps' }
  for (const object of CLUSTER) {
    const plural = plurals[object.kind]
    if (plural) api.put(plural, object)
  }
  const sample = SAMPLES.find(({ kind }) => kind === 'NemoCustomizer')
  api.put('nemocustomizers', { metadata: { name: 'c' }, spec: sample?.small })
  await until(() => api.get('deployments', 'c') !== undefined)
}

// biome-ignore lint/suspicious/noExplicitAny: a Deployment's insides, which the assertions name.
const deployment = (api: FakeApi): any => api.get('deployments', 'c')?.spec

test('a database password that changes reaches the URL of the pod, and the pod is made anew', async () => {
  const api = new FakeApi()
  await customizerOn(api)
  const hash = () => deployment(api).template.metadata.annotations['open-nemo.io/inputs-hash'] as string
  const url = () => {
    const data = api.get('secrets', 'c')?.data as { dsn?: string } | undefined
    return Buffer.from(data?.dsn ?? '', 'base64').toString()
  }
  const before = hash()
  const secret = api.get('secrets', 'pg')
  assert.ok(secret)
  api.put('secrets', { ...secret, data: { pw: Buffer.from('n&w p@ss').toString('base64') } })
  await until(() => url().includes(encodeURIComponent('n&w p@ss')))
  await until(() => hash() !== before)
})

test('a pod that cannot start tells its resource so at once, without anybody asking again and again', async () => {
  const api = new FakeApi()
  await customizerOn(api)
  await sleep(200)
  const writes = api.realWrites.length
  const waiting = { reason: 'ImagePullBackOff', message: 'no such image' }
  api.put('pods', {
    metadata: { name: 'c-1', labels: { app: 'c', 'app.kubernetes.io/managed-by': 'open-nemo' } },
    spec: {},
    status: { phase: 'Pending', containerStatuses: [{ name: 'c-ctr', state: { waiting } }] },
  })
  const message = () => JSON.stringify(api.get('nemocustomizers', 'c')?.status ?? {})
  await until(() => message().includes('ImagePullBackOff'), 1_000)
  const statuses = api.realWrites.slice(writes).filter(({ path }) => path.endsWith('/status'))
  assert.equal(statuses.length, 1)
})

async function until(check: () => unknown, ms = 5_000): Promise<void> {
  for (const begun = Date.now(); Date.now() - begun < ms; await sleep(20)) if (check()) return
  assert.fail(`not within ${ms} ms: ${check}`)
}
