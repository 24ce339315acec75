// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { runChecks } from '../checks/run.ts'
import { wantedSchema } from '../checks/types.ts'
import { fakeKube, object } from '../kube/fake.ts'
import {
  CRDS,
  LIMIT_RANGES,
  NODES,
  PODS,
  QUOTAS,
  SECRETS,
  SERVICES,
  STORAGE_CLASSES,
} from '../kube/resources.ts'
import { preflight } from './preflight.ts'

const node = (name: string, rest = {}) => object('v1', 'Node', name, { status: { allocatable: {} }, ...rest })

/** A cluster in which nothing is missing. */
function good() {
  const kube = fakeKube()
  kube.paths['/version'] = { major: '1', minor: '35' }
  kube.put(
    STORAGE_CLASSES,
    object('storage.k8s.io/v1', 'StorageClass', 'fast', {
      metadata: { annotations: { 'storageclass.kubernetes.io/is-default-class': 'true' } },
    }),
  )
  kube.put(NODES, node('n1'))
  return kube
}

const errors = async (kube: ReturnType<typeof good>, wanted: Record<string, unknown> = {}) =>
  (await runChecks(kube, wantedSchema.parse(wanted))).filter((f) => f.level === 'error').map((f) => f.message)

test('a cluster with all that is needed passes', async () => {
  assert.deepEqual(await errors(good(), { claims: 3, pods: [{ name: 'p' }] }), [])
})

test('everything missing is printed at once, and left for kubectl describe', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'preflight-'))
  const log = join(folder, 'log')
  const wanted = {
    services: ['nemo-infra-customizer-postgresql', 'nemo-infra-minio'],
    secrets: [{ name: 'ngc-secret', keys: ['.dockerconfigjson'], why: 'an image of nvcr.io is named' }],
    claims: 1,
    crdsInstalled: true,
  }
  const kube = fakeKube()
  kube.put(SERVICES, object('v1', 'Service', 'nemo-infra-minio'))
  kube.put(NODES, node('n1'))
  assert.equal(await preflight({ WANTED: JSON.stringify(wanted), TERMINATION_LOG: log }, kube), 1)
  const said = await readFile(log, 'utf8')
  await rm(folder, { recursive: true })
  assert.match(said, /nemo-infra-customizer-postgresql missing/)
  assert.match(said, /ngc-secret is missing \(an image of nvcr.io is named\)/)
  assert.match(said, /no default storage class/)
  assert.match(said, /CRD nimcaches.apps.nvidia.com is missing/)
  assert.doesNotMatch(said, /nemo-infra-minio missing/)
})

test('what the account may not see is skipped, not failed', async () => {
  const kube = good()
  kube.forbidden.add('list nodes').add('get customresourcedefinitions')
  const findings = await runChecks(kube, wantedSchema.parse({}))
  assert.deepEqual(
    findings.filter((f) => f.level === 'skipped').map((f) => f.check),
    ['crds', 'nodes'],
  )
  assert.equal(await preflight({ WANTED: '{}' }, kube), 0)
})

test('quota and limits are compared as quantities', async () => {
  const kube = good()
  kube.put(
    QUOTAS,
    object('v1', 'ResourceQuota', 'q', {
      status: { hard: { 'requests.cpu': '4', 'requests.memory': '8Gi' }, used: { 'requests.cpu': '2500m' } },
    }),
  )
  kube.put(
    LIMIT_RANGES,
    object('v1', 'LimitRange', 'l', { spec: { limits: [{ type: 'Container', max: { memory: '1Gi' } }] } }),
  )
  const pod = (cpu: string, memory: string) => ({
    name: 'p',
    replicas: 2,
    resources: { requests: { cpu }, limits: { memory } },
  })
  const found = await errors(kube, { pods: [pod('1', '2Gi')] })
  assert.equal(found.length, 2)
  assert.match(found[0] ?? '', /quota q leaves too little requests.cpu: 2 more needed, 2500m of 4 used/)
  assert.match(found[1] ?? '', /LimitRange l allows 1Gi memory a container; p asks for 2Gi/)
  assert.deepEqual(await errors(kube, { pods: [pod('750m', '1024Mi')] }), [])
})

test('taints of GPU nodes are named with whether they are tolerated', async () => {
  const kube = good()
  const taints = [{ key: 'g5-gpu', value: 'true', effect: 'NoSchedule' }]
  kube.put(NODES, node('gpu1', { spec: { taints }, status: { allocatable: { 'nvidia.com/gpu': '1' } } }))
  assert.match((await errors(kube, { gpus: 1 }))[0] ?? '', /GPU node gpu1 is kept .* g5-gpu=true:NoSchedule/)
  const tolerations = [{ key: 'g5-gpu', operator: 'Exists', effect: 'NoSchedule' }]
  assert.deepEqual(await errors(kube, { gpus: 1, tolerations }), [])
  assert.match((await errors(kube, { gpus: 2, tolerations }))[0] ?? '', /no node has 2/)
  assert.match((await errors(kube, { nodeSelector: { a: 'b' } }))[0] ?? '', /no node has the labels/)
})

test('images out of reach are named, and who owns the CRDs', async () => {
  const kube = good()
  const waiting = { reason: 'ImagePullBackOff', message: 'no such host' }
  kube.put(
    PODS,
    object('v1', 'Pod', 'p', { status: { containerStatuses: [{ image: 'q.io/x:1', state: { waiting } }] } }),
  )
  const found = await errors(kube, { images: ['localhost/open-nemo/services:0.1.0'] })
  assert.match(found[0] ?? '', /q.io\/x:1 cannot be pulled .*no such host/)
  assert.match(found[1] ?? '', /services:0.1.0 is not on n1 .*nemoctl images push/)
  const names = ['localhost/open-nemo/services:0.1.0']
  kube.put(NODES, node('n1', { status: { images: [{ names }] } }))
  assert.equal((await errors(kube, { images: names })).length, 1)
  kube.put(CRDS, object('apiextensions.k8s.io/v1', 'CustomResourceDefinition', 'nimcaches.apps.nvidia.com'))
  const findings = await runChecks(kube, wantedSchema.parse({}))
  assert.match(findings.find((f) => f.check === 'crds')?.message ?? '', /ours stands aside/)
})

test('a Secret without its key and a storage class that is not there are missing', async () => {
  const kube = good()
  kube.put(SECRETS, object('v1', 'Secret', 's', { data: { other: 'eA==' } }))
  const found = await errors(kube, { secrets: [{ name: 's', keys: ['k'], why: 'w' }], storageClass: 'slow' })
  assert.deepEqual(found, ['Secret s lacks the key k (w)', 'no storage class slow; there are: fast'])
})
