// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubeObject, Plan } from '../framework/types.ts'
import { type FakeWorld, fakeWorld, live, resource } from '../pod-basics/testing.ts'
import { nimCacheController } from './controller.ts'
import { labelsOf } from './objects.ts'

const SPEC = {
  source: {
    dataStore: {
      endpoint: 'http://nemodatastore-sample:8000/v1/hf',
      namespace: 'smollm2',
      modelName: 'smollm2-135m-instruct',
      authSecret: 'hf',
    },
  },
  storage: { pvc: { create: true, size: '2Gi' } },
}
const cache = (spec: Record<string, unknown> = {}, status?: Record<string, unknown>) =>
  resource('apps.nvidia.com/v1alpha1', 'NIMCache', { ...SPEC, ...spec }, status ? { status } : {})
const planOf = (it: KubeObject, world: FakeWorld) => nimCacheController.plan(it, world) as Plan
// biome-ignore lint/suspicious/noExplicitAny: objects are read field by field
type Any = any
const find = (plan: Plan, kind: string): Any => plan.apply.find((each) => each.kind === kind)
const conditionOf = (plan: Plan, type: string): Any =>
  (plan.status.conditions as Any[]).find((each) => each.type === type)

/** A world in which the plan's claim and Job are there, and a pod of the Job with this status. */
function started(it: KubeObject, pod?: Record<string, unknown>, job: Record<string, unknown> = {}) {
  const world = fakeWorld()
  const plan = planOf(it, world)
  const claim = find(plan, 'PersistentVolumeClaim')
  if (claim) world.objects.push({ ...claim, metadata: { ...claim.metadata, uid: 'claim-uid' } })
  const run = live(find(planOf(it, world), 'Job'), it, job)
  world.objects.push(run)
  if (pod) {
    const metadata = { name: 'pod', labels: labelsOf('sample') }
    world.objects.push(live({ apiVersion: 'v1', kind: 'Pod', metadata }, run, pod))
  }
  return world
}
const ended = (exitCode: number, message: string) => ({
  phase: exitCode ? 'Failed' : 'Succeeded',
  containerStatuses: [{ name: 'nim-cache-ctr', state: { terminated: { exitCode, message } } }],
})

test('golden: our image pulls from the Data Store into a claim that outlives the cache', () => {
  const plan = planOf(cache(), fakeWorld())
  const claim = find(plan, 'PersistentVolumeClaim')
  assert.deepEqual(claim.metadata.name, 'sample-pvc')
  assert.equal(claim.metadata.ownerReferences, undefined)
  const { template, ...spec } = find(plan, 'Job').spec
  assert.deepEqual([spec.backoffLimit, spec.podReplacementPolicy], [5, 'Failed'])
  const { containers, volumes, ...pod } = template.spec
  assert.deepEqual(pod, {
    restartPolicy: 'Never',
    serviceAccountName: 'sample-puller',
    automountServiceAccountToken: false,
    securityContext: {
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
      runAsUser: 1000,
      runAsGroup: 1000,
      fsGroup: 1000,
      fsGroupChangePolicy: 'OnRootMismatch',
    },
  })
  assert.deepEqual(containers[0].args, [
    'pull-model',
    'smollm2/smollm2-135m-instruct',
    '--endpoint',
    'http://nemodatastore-sample:8000/v1/hf',
    '--type',
    'model',
    '--revision',
    'main',
    '--to',
    '/model-store',
    '--capacity',
    String(2 * 2 ** 30),
  ])
  assert.equal(containers[0].image, 'localhost/open-nemo/services:0.1.0')
  assert.equal(containers[0].env[0].valueFrom.secretKeyRef.optional, true)
  assert.equal(containers[0].securityContext.readOnlyRootFilesystem, true)
  assert.deepEqual(volumes[0].persistentVolumeClaim, { claimName: 'sample-pvc' })
  assert.ok(!('nodeSelector' in pod), 'no hidden node selector')
})

test('every field of the spec, and every default of the installation, reaches claim or pod', () => {
  const text = (plan: Plan) =>
    JSON.stringify(plan.apply.map((each) => [each.spec, each.metadata.annotations]))
  const before = text(planOf(cache(), fakeWorld()))
  const { dataStore } = SPEC.source
  const changes: Record<string, unknown>[] = [
    ...Object.entries({
      endpoint: 'http://other/v1/hf',
      namespace: 'team',
      modelName: 'other',
      revision: 'v2',
      authSecret: 'other',
      modelPuller: 'r/open-nemo/services:2',
      pullSecret: 'pull',
    }).map(([key, value]) => ({ source: { dataStore: { ...dataStore, [key]: value } } })),
    { source: { dataStore: { endpoint: dataStore.endpoint, namespace: 'a', datasetName: 'rows' } } },
    { source: { hf: { endpoint: 'https://hub', namespace: 'a', modelName: 'b' } } },
    { source: { pvc: { claimName: 'other', subPath: 'x' } } },
    ...Object.entries({
      name: 'other',
      size: '9Gi',
      storageClass: 'fast',
      volumeAccessMode: 'ReadWriteMany',
      subPath: 'x',
      annotations: { a: 'b' },
    }).map(([key, value]) => ({ storage: { pvc: { ...SPEC.storage.pvc, [key]: value } } })),
    { resources: { cpu: '2' } },
    { resources: { memory: '2Gi' } },
    { env: [{ name: 'A', value: 'b' }] },
    { nodeSelector: { disk: 'ssd' } },
    { tolerations: [{ key: 'g5', operator: 'Exists' }] },
    { affinity: { nodeAffinity: {} } },
    { userID: 77 },
    { groupID: 88 },
    { runtimeClassName: 'nvidia' },
    { proxy: { httpsProxy: 'http://p:1' } },
  ]
  for (const change of changes) {
    assert.notEqual(text(planOf(cache(change), fakeWorld())), before, JSON.stringify(change))
  }
  for (const defaults of [
    { imageRegistry: 'mirror' },
    { imagePullSecrets: ['p'] },
    { scheduling: { nodeSelector: { a: 'b' } } },
    { customCA: { configMap: 'ca' } },
    { proxy: { http: 'http://p' } },
    { images: { services: 'x/open-nemo/services:9' } },
    { podSecurity: 'openshift' },
  ]) {
    assert.notEqual(text(planOf(cache(), fakeWorld([], { defaults }))), before, JSON.stringify(defaults))
  }
})

test("pullers of others run as the contract says, NVIDIA's under nonroot and with a condition", () => {
  const hub = { endpoint: 'https://huggingface.co', namespace: 'a', modelName: "b'c", authSecret: 's' }
  const other = find(
    planOf(cache({ source: { hf: { ...hub, modelPuller: 'quay.io/x/puller:1' } } }), fakeWorld()),
    'Job',
  )
  const [container] = other.spec.template.spec.containers
  assert.deepEqual(container.command.slice(0, 2), ['/bin/sh', '-c'])
  assert.match(
    container.command[2],
    /huggingface-cli download 'a\/b'\\''c' --local-dir \/model-store --repo-type model/,
  )
  assert.match(container.command[2], /download-to-cache --model-uri 'hf:\/\/a\/b'/)
  assert.deepEqual(container.envFrom, [{ secretRef: { name: 's' } }])
  const ngc = {
    modelPuller: 'nvcr.io/nim/meta/llama:1',
    authSecret: 'ngc-api-secret',
    pullSecret: 'ngc-secret',
  }
  const world = fakeWorld([], { defaults: { podSecurity: 'openshift' } })
  const plan = planOf(cache({ source: { ngc: { ...ngc, model: { profiles: ['h1'] } } } }), world)
  const pod = find(plan, 'Job').spec.template
  assert.deepEqual(pod.spec.containers[0].args, ['--profiles', 'h1'])
  assert.deepEqual(
    [pod.spec.securityContext.runAsUser, pod.spec.securityContext.seccompProfile],
    [1000, undefined],
  )
  assert.equal(pod.metadata.annotations['openshift.io/required-scc'], 'nonroot')
  assert.deepEqual(find(plan, 'Role').rules[0].resourceNames, ['nonroot'])
})

test('what cannot work is said at once: profiles of NGC, our image for NGC, hostPath, a missing claim', () => {
  const say = (spec: Record<string, unknown>) => conditionOf(planOf(cache(spec), fakeWorld()), 'Ready').reason
  assert.equal(say({ source: { ngc: { modelPuller: 'nvcr.io/nim/a:1' } } }), 'ProfilesMissing')
  assert.equal(say({ source: { ngc: { modelPuller: 'localhost/open-nemo/services:1' } } }), 'PullerUnusable')
  assert.equal(say({ storage: { hostPath: '/x' } }), 'HostPathRefused')
  assert.equal(say({ storage: { pvc: { name: 'absent' } } }), 'ClaimMissing')
})

test('the states of the contract, and why a pull fails', () => {
  const state = (world: FakeWorld) => planOf(cache(), world).status.state
  assert.equal(planOf(cache(), fakeWorld()).status.state, 'NotReady')
  assert.equal(state(started(cache())), 'Started')
  assert.equal(state(started(cache(), { phase: 'Running' })), 'InProgress')
  const unschedulable = [{ type: 'PodScheduled', status: 'False', message: '0/1 nodes' }]
  assert.equal(state(started(cache(), { phase: 'Pending', conditions: unschedulable })), 'Pending')
  const told = JSON.stringify({ message: 'too small', neededBytes: 5, availableBytes: 3 })
  const failed = { conditions: [{ type: 'Failed', status: 'True', message: 'policy' }] }
  const plan = planOf(cache(), started(cache(), ended(28, told), failed))
  assert.deepEqual(
    [
      plan.status.state,
      plan.status.neededBytes,
      plan.status.availableBytes,
      conditionOf(plan, 'Ready').reason,
    ],
    ['Failed', 5, 3, 'NoRoom'],
  )
})

test('what waits is not looked at again until an object tells of a change', () => {
  const failed = { conditions: [{ type: 'Failed', status: 'True', message: 'policy' }] }
  const worlds = [
    started(cache()),
    started(cache(), { phase: 'Running' }),
    started(cache(), { phase: 'Pending' }),
    started(cache(), ended(28, 'full'), failed),
  ]
  for (const world of worlds) assert.equal(planOf(cache(), world).requeueAfterMs, undefined)
  assert.equal(planOf(cache({ storage: { pvc: { name: 'absent' } } }), fakeWorld()).requeueAfterMs, undefined)
  const [world] = worlds
  const job = world?.objects.find(({ kind }) => kind === 'Job')
  assert.ok(world && job)
  const about = (kind: string) => ({ involvedObject: { kind, name: job.metadata.name } })
  const at = (object: object) => nimCacheController.concerns?.({ apiVersion: 'v1', ...object } as Any, world)
  assert.deepEqual(at({ kind: 'Pod', metadata: { name: 'p', labels: labelsOf('sample') } }), ['sample'])
  assert.deepEqual(at({ kind: 'Event', metadata: { name: 'e' }, ...about('Job') }), ['sample'])
  assert.deepEqual(at({ kind: 'Event', metadata: { name: 'e' }, ...about('Pod') }), [])
})

test('ready stays ready without a Job, and a lost claim or another source pulls again', () => {
  const done = { conditions: [{ type: 'Complete', status: 'True' }] }
  const world = started(cache(), ended(0, JSON.stringify({ bytes: 98, revision: 'c1' })), done)
  const ready = planOf(cache(), world)
  assert.deepEqual(
    [ready.status.state, ready.status.pvc, ready.status.model],
    ['Ready', 'sample-pvc', 'smollm2/smollm2-135m-instruct'],
  )
  assert.ok(ready.requeueAfterMs)
  const [done1] = planOf(cache({}, ready.status), world).remove?.filter(({ kind }) => kind === 'Job') ?? []
  assert.match(done1?.name ?? '', /^sample-job-/, 'a Job that has ended well goes')
  const claims = world.objects.filter((each) => each.kind === 'PersistentVolumeClaim')
  const later = planOf(cache({ tolerations: [{ key: 'x' }] }, ready.status), fakeWorld(claims))
  assert.equal(find(later, 'Job'), undefined)
  assert.deepEqual(later.status, ready.status)
  const lost = claims.map((each) => ({ ...each, metadata: { ...each.metadata, uid: 'new' } }))
  assert.ok(find(planOf(cache({}, ready.status), fakeWorld(lost)), 'Job'))
  const hf = { source: { hf: { endpoint: 'https://hub', namespace: 'a', modelName: 'b' } } }
  assert.ok(find(planOf(cache(hf, ready.status), fakeWorld(claims)), 'Job'))
})
