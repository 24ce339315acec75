// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { operatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import { CONTROLLERS } from '@open-nemo/operator/controllers.ts'
import { KubeClient } from '@open-nemo/operator/framework/client.ts'
import { loadConnection } from '@open-nemo/operator/framework/connection.ts'
import { type Operator, startOperator } from '@open-nemo/operator/framework/operator.ts'
import { WATCH_TIMES } from '@open-nemo/operator/framework/reflector.ts'
import { CLUSTER, SAMPLES } from '@open-nemo/operator/nemo-service/samples.ts'
import { FaultProxy } from '@open-nemo/operator/testing/fault-proxy.ts'
import { silentLogger } from '@open-nemo/runtime/telemetry/log.ts'
import { type ControlPlane, startControlPlane } from '../../packages/cli/src/lab/index.ts'
import { until } from './support/until.ts'

const NS = 'operators'
const CRDS = 'deploy/nemo-instances/crds'
const API = 'apps.nvidia.com/v1alpha1'

/** The times stated are for a machine with nothing else to do; the one that runs this may be shared. */
const SLOWER = 4
/** Kubernetes' garbage collector learns of new kinds every 30 s, and works off what it missed after that. */
const COLLECTOR_MS = 150_000

type Json = Record<string, unknown>

const image = { repository: 'localhost/open-nemo/services', tag: '0.1.0' }
const database = {
  host: 'db',
  databaseName: 'd',
  credentials: { user: 'u', secretName: 'pg', passwordKey: 'pw' },
}
const entitystore = (name: string, spec: Json = {}) => ({
  apiVersion: API,
  kind: 'NemoEntitystore',
  metadata: { name, namespace: NS },
  spec: { image, databaseConfig: database, ...spec },
})

describe('the operators on a real API server', {
  skip: process.platform === 'linux' ? false : 'needs Linux',
}, () => {
  let dir = ''
  let plane: ControlPlane
  let proxy: FaultProxy
  let client: KubeClient
  let operator: Operator

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nemo-operator-'))
    plane = await startControlPlane({ dir, onProgress: ({ message }) => console.log(message) })
    await plane.kubectl(['apply', '--server-side', '-f', CRDS])
    await plane.kubectl(['wait', '--for=condition=Established', '--timeout=120s', '-f', CRDS])
    await plane.kubectl(['create', 'namespace', NS])
    proxy = new FaultProxy(await loadConnection({ KUBECONFIG: plane.kubeconfig }))
    client = new KubeClient(await proxy.start())
    operator = await startOperator({
      name: 'nemo',
      client,
      controllers: await Promise.all(CONTROLLERS.nemo.map((load) => load())),
      namespaces: [NS],
      defaults: () => operatorDefaults.parse({}),
      log: silentLogger(),
    })
    await until(() => operator.missing().length === 0, 60_000)
    operator.lead()
  })
  after(async () => {
    await operator?.stop()
    client?.close()
    await proxy?.stop()
    proxy?.close()
    await plane?.stop()
    await rm(dir, { recursive: true, force: true })
  })

  const apply = (object: unknown, ...more: string[]) =>
    plane.kubectl(['apply', '--server-side', ...more, '-f', '-'], JSON.stringify(object))
  const get = async (kind: string, name: string, ...more: string[]): Promise<Json> =>
    JSON.parse(await plane.kubectl(['get', kind, name, '-n', NS, '-o', 'json', ...more]))
  const ready = async (kind: string, name: string) => {
    const { status } = await get(kind, name)
    const { conditions = [] } = (status ?? {}) as { conditions?: { type: string; message: string }[] }
    return conditions.find((c) => c.type === 'Ready')?.message ?? ''
  }
  // biome-ignore lint/suspicious/noExplicitAny: a Deployment's insides, which the assertions name.
  const template = async (name: string): Promise<any> =>
    ((await get('deployment', name)).spec as { template: unknown }).template
  const labelled = (name: string) => async () =>
    (await template(name)).metadata.labels.round as string | undefined

  it('has the columns, keeps unknown fields, defaults no user, and refuses what cannot be', async () => {
    const shown = await plane.kubectl(['get', 'nimcache', '-n', NS, '-v=0']).catch((err) => String(err))
    assert.match(shown, /No resources found|^$/)
    for (const sample of SAMPLES) {
      const { scale: _, ...spec } = sample.full
      const object = {
        apiVersion: API,
        kind: sample.kind,
        metadata: { name: 'full', namespace: NS },
        spec: { ...spec, expose: {} },
      }
      await apply(object, '--dry-run=server')
    }
    await apply(entitystore('kept', { notKnownToAnyone: { deep: 1 }, replicas: 0 }))
    const { spec } = (await get('nemoentitystore', 'kept')) as { spec: Json }
    assert.deepEqual(spec.notKnownToAnyone, { deep: 1 })
    assert.equal(spec.userID, undefined)
    assert.equal(spec.groupID, undefined)
    const both = entitystore('both', { replicas: 2, scale: { enabled: true } })
    await assert.rejects(apply(both), /replicas cannot be set while scale.enabled is true/)
    const source = {
      hf: { endpoint: 'https://h', namespace: 'a', modelName: 'm' },
      ngc: { modelPuller: 'p' },
    }
    const cache = {
      apiVersion: API,
      kind: 'NIMCache',
      metadata: { name: 'x', namespace: NS },
      spec: { source, storage: {} },
    }
    await assert.rejects(apply(cache), /exactly one of ngc, hf/)
    await assert.rejects(apply(entitystore('port', { databaseConfig: { ...database, port: 99999 } })), /port/)
    await plane.kubectl(['delete', 'nemoentitystore', 'kept', '-n', NS])
  })

  it('waits for a Secret, says so, and goes on at once when it is there', async () => {
    await apply(entitystore('es'))
    await until(async () => /Secret pg .* does not exist/.test(await ready('nemoentitystore', 'es')))
    for (const object of CLUSTER)
      await apply({ ...object, metadata: { ...object.metadata, namespace: NS }, ...claimSpec(object.kind) })
    await until(async () => (await get('deployment', 'es')) !== undefined)
    const table = await plane.kubectl(['get', 'nemoentitystore', 'es', '-n', NS])
    assert.match(table, /NAME\s+STATUS\s+AGE\s+MESSAGE/)
    assert.match(table, /es\s+NotReady/)
  })

  it('owns nothing of a resource but its status, so that two appliers never conflict', async () => {
    const { metadata } = (await get('nemoentitystore', 'es', '--show-managed-fields')) as {
      metadata: { managedFields: { manager: string; subresource?: string }[]; finalizers?: string[] }
    }
    const ours = metadata.managedFields.filter((f) => f.manager.startsWith('open-nemo'))
    assert.deepEqual(
      ours.map((f) => f.subresource),
      ['status'],
    )
    assert.equal(metadata.finalizers, undefined)
    await apply(entitystore('es'), '--field-manager=helm', '--force-conflicts')
    await apply(entitystore('es', { labels: { round: 'helm' } }), '--field-manager=helm')
    await until(async () => (await labelled('es')()) === 'helm')
  })

  it('brings every sample up to its Deployment, and all of them go with their resource but the claims', async () => {
    for (const { kind, small } of SAMPLES)
      await apply({
        apiVersion: API,
        kind,
        metadata: { name: `s-${kind.toLowerCase()}`, namespace: NS },
        spec: small,
      })
    for (const { kind } of SAMPLES) await until(() => get('deployment', `s-${kind.toLowerCase()}`))
    await until(async () => (await ready('nemodatastore', 's-nemodatastore')) !== '')
    for (const { kind } of SAMPLES)
      await plane.kubectl(['delete', kind, `s-${kind.toLowerCase()}`, '-n', NS, '--timeout=60s'])
    await until(async () => {
      const left = await plane.kubectl([
        'get',
        'deploy,svc,sa,role,rolebinding,secret,cm,pvc',
        '-n',
        NS,
        '-o',
        'name',
      ])
      const made = left.split('\n').filter((line) => line.includes('/s-'))
      return made.join() === 'persistentvolumeclaim/s-nemodatastore-pvc'
    }, COLLECTOR_MS)
  })

  it('a changed Secret rolls the pods, and what somebody changes is put right', async () => {
    const hash = async () => (await template('es')).metadata.annotations['open-nemo.io/inputs-hash'] as string
    const before = await hash()
    const pg = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'pg', namespace: NS },
      data: { pw: 'bmV3' },
    }
    await apply(pg, '--force-conflicts')
    await until(async () => (await hash()) !== before)
    await plane.kubectl(['set', 'image', 'deployment/es', 'es-ctr=other:1', '-n', NS])
    await until(
      async () => (await template('es')).spec.containers[0].image === `${image.repository}:${image.tag}`,
    )
    await plane.kubectl(['delete', 'service', 'es', '-n', NS])
    await until(() => get('service', 'es'))
  })

  it('writes nothing while nothing changes', async () => {
    await plane.kubectl([
      'patch',
      'nemoentitystore',
      'es',
      '-n',
      NS,
      '--type=merge',
      '-p',
      '{"spec":{"replicas":0}}',
    ])
    await until(async () => /replicas is 0/.test(await ready('nemoentitystore', 'es')))
    await sleep(1_000)
    const from = proxy.requests.length
    operator.resync()
    await sleep(25_000)
    const writes = proxy.requests.slice(from).filter((r) => r.method !== 'GET')
    assert.deepEqual(writes, [])
    assert.ok(proxy.requests.length > from, 'no watch was renewed in this time, so nothing was tested')
  })

  it('notices a silent watch within its time and grace: 25 s', async () => {
    assert.ok(proxy.silenceWatches() > 5)
    await apply(entitystore('es', { labels: { round: 'silent' }, replicas: 0 }), '--force-conflicts')
    const limit = WATCH_TIMES.watchMs + WATCH_TIMES.graceMs + 1_000 * SLOWER
    await until(async () => (await labelled('es')()) === 'silent', limit)
  })

  it('gets over throttling, errors and conflicts within 5 s', async () => {
    for (const status of [429, 500, 409]) {
      let left = 2
      proxy.fault = ({ method }) => (method === 'PATCH' && left-- > 0 ? { status, retryAfter: 1 } : undefined)
      await apply(entitystore('es', { labels: { round: `r${status}` }, replicas: 0 }), '--force-conflicts')
      await until(async () => (await labelled('es')()) === `r${status}`, 5_000 * SLOWER)
      assert.ok(left <= 0)
    }
    proxy.fault = () => undefined
  })

  it('follows again within 10 s after the API server restarted', async () => {
    await plane.stopApiServer()
    await sleep(2_000)
    await plane.startApiServer()
    await apply(entitystore('es', { labels: { round: 'restarted' }, replicas: 0 }), '--force-conflicts')
    await until(async () => (await labelled('es')()) === 'restarted', 10_000 * SLOWER)
  })
})

const claimSpec = (kind: string) =>
  kind === 'PersistentVolumeClaim'
    ? { spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } } }
    : {}
