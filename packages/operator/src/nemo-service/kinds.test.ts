// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { parse, stringify } from 'yaml'
import type { KubeObject, Plan, World } from '../framework/types.ts'
import { fakeWorld, live } from '../pod-basics/testing.ts'
import { CLUSTER, resourceOf, SAMPLES, type Sample, SERVED } from './samples.ts'

type Fields = Record<string, unknown>

const world = (objects = CLUSTER, defaults: Fields = {}) => fakeWorld(objects, { defaults, served: SERVED })

async function planOf(sample: Sample, spec: Fields, at: World = world()): Promise<Plan> {
  return sample.controller.plan(resourceOf(sample, spec), at)
}

const conditionsOf = (plan: Plan) =>
  plan.status.conditions as { type: string; status: string; reason: string; message: string }[]
const condition = (plan: Plan, type: string) => conditionsOf(plan).find((c) => c.type === type)
const find = (plan: Plan, kind: string) => plan.apply.find((o) => o.kind === kind)

/** An object of the plan that has to be there. */
function the(plan: Plan, kind: string): KubeObject & { spec: Fields & { template: KubeObject } } {
  const found = find(plan, kind)
  assert.ok(found, `the plan has no ${kind}`)
  return found as KubeObject & { spec: Fields & { template: KubeObject } }
}

// biome-ignore lint/suspicious/noExplicitAny: a Deployment's insides, which the assertions name.
const podOf = (plan: Plan): any =>
  (find(plan, 'Deployment')?.spec as { template?: { spec?: unknown } } | undefined)?.template?.spec

const NVIDIA = { repository: 'nvcr.io/nvidia/nemo-microservices/thing', tag: '25.8' }
const VARIANTS: [string, (s: Sample) => Fields, Fields][] = [
  ['small-kubernetes', (s) => s.small, { podSecurity: 'kubernetes' }],
  ['full-openshift', (s) => s.full, { podSecurity: 'openshift' }],
  ['nvidia-openshift', (s) => ({ ...s.full, image: NVIDIA }), { podSecurity: 'openshift' }],
]

for (const sample of SAMPLES) {
  test(`${sample.kind}: the objects are those of the golden files (GOLDEN=write makes them anew)`, async () => {
    for (const [name, spec, defaults] of VARIANTS) {
      const plan = await planOf(sample, spec(sample), world(CLUSTER, defaults))
      const path = join(import.meta.dirname, '..', sample.folder, 'golden', `${name}.yaml`)
      const made = { status: plan.status, apply: plan.apply }
      if (process.env.GOLDEN === 'write') {
        await mkdir(dirname(path), { recursive: true })
        await writeFile(path, stringify(made, { aliasDuplicateObjects: false, lineWidth: 110 }))
      }
      assert.deepEqual(JSON.parse(JSON.stringify(made)), parse(await readFile(path, 'utf8')), path)
    }
  })

  test(`${sample.kind}: every field that is changed reaches an object or is named in a condition`, async () => {
    for (const image of [undefined, NVIDIA]) {
      const spec = image
        ? { ...sample.full, image: { ...(sample.full.image as Fields), ...image } }
        : sample.full
      const base = await planOf(sample, spec)
      const named = condition(base, 'FieldsNotActedOn')?.message ?? ''
      for (const [path, changed] of leafChanges(spec)) {
        const plan = await planOf(sample, changed)
        const reaches = JSON.stringify(plan.apply) !== JSON.stringify(base.apply)
        const isNamed = ancestors(path).some((p) => new RegExp(`spec\\.${p}(?![\\w.])`).test(named))
        const refused = condition(plan, 'Ready')?.reason === 'InvalidSpec'
        assert.ok(reaches || isNamed || refused, `spec.${path} has no effect and no condition names it`)
        assert.ok(
          !(reaches && isNamed && !image) || mayBeBoth(path),
          `spec.${path} has an effect and is called without`,
        )
      }
    }
  })

  test(`${sample.kind}: pods pass restricted-v2 on OpenShift and Pod Security restricted elsewhere`, async () => {
    for (const podSecurity of ['openshift', 'kubernetes']) {
      const plan = await planOf(
        sample,
        sample.small,
        world(CLUSTER, { podSecurity, runAsUser: 5000, fsGroup: 6000 }),
      )
      const pod = podOf(plan)
      assert.equal(pod.securityContext.runAsNonRoot, true)
      assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault')
      assert.equal(pod.securityContext.runAsUser, podSecurity === 'openshift' ? undefined : 5000)
      assert.equal(pod.securityContext.fsGroup, podSecurity === 'openshift' ? undefined : 6000)
      for (const container of [...pod.containers, ...(pod.initContainers ?? [])]) {
        assert.deepEqual(container.securityContext, {
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          readOnlyRootFilesystem: true,
        })
        for (const path of ['/tmp', '/cache', '/data'])
          assert.ok(
            container.volumeMounts.some((m: Fields) => m.mountPath === path),
            path,
          )
        assert.ok(container.resources.requests && container.resources.limits)
      }
      const { template } = the(plan, 'Deployment').spec
      assert.equal(template.metadata.annotations?.['openshift.io/required-scc'], 'restricted-v2')
      assert.equal(pod.automountServiceAccountToken, sample.kind === 'NemoCustomizer')
    }
  })
}

/** The paths of a list or map are those of its elements, so that a change of one is a change of the field. */
function* leafChanges(spec: Fields): Generator<[string, Fields]> {
  for (const path of leaves(spec)) {
    const copy = structuredClone(spec)
    const keys = path.split('/')
    const last = keys.pop() ?? ''
    const at = keys.reduce<Fields>((o, k) => o[k] as Fields, copy)
    at[last] = changedValue(last, at[last])
    yield [
      path
        .split('/')
        .filter((k) => !/^\d+$/.test(k))
        .join('.'),
      copy,
    ]
  }
}

function* leaves(value: unknown, path = ''): Generator<string> {
  if (value && typeof value === 'object' && Object.keys(value).length > 0)
    for (const [k, v] of Object.entries(value)) yield* leaves(v, path ? `${path}/${k}` : k)
  else yield path
}

const OTHER: Record<string, unknown> = {
  pullPolicy: 'Never',
  type: 'LoadBalancer',
  volumeAccessMode: 'ReadWriteOncePod',
  logHandlers: 'file',
  consoleLogLevel: 'DEBUG',
  evalLogLevel: 'DEBUG',
  baseURL: 'http://other:8000/v1',
}

function changedValue(key: string, value: unknown): unknown {
  if (key === 'type' && value === 'volcano') return 'job'
  if (key in OTHER) return OTHER[key]
  if (typeof value === 'boolean') return !value
  if (typeof value === 'number') return value + 1
  if (Array.isArray(value)) return [{ added: true }]
  return `${value}x`
}

const ancestors = (path: string) => path.split('.').map((_, i, keys) => keys.slice(0, i + 1).join('.'))

/** Its name is written somewhere and also said to be without effect in our image. */
const mayBeBoth = (path: string) =>
  /^(modelConfig|modelDownloadJobs|nemoDatastoreTools|trainingConfig\.networkConfig|secrets|objectStoreConfig)/.test(
    path,
  )

const entitystore = SAMPLES.find((s) => s.kind === 'NemoEntitystore') as Sample
const guardrail = SAMPLES.find((s) => s.kind === 'NemoGuardrail') as Sample
const customizer = SAMPLES.find((s) => s.kind === 'NemoCustomizer') as Sample

test('without its Secret a resource says which, and no pod is made', async () => {
  const plan = await planOf(entitystore, entitystore.small, world([]))
  assert.equal(plan.status.state, 'NotReady')
  assert.match(
    condition(plan, 'Ready')?.message ?? '',
    /Secret pg .* does not exist: make it with the key pw/,
  )
  assert.equal(find(plan, 'Deployment'), undefined)
  const wrongKey = CLUSTER.map((o) => (o.metadata.name === 'pg' ? { ...o, data: { other: 'eA==' } } : o))
  const second = await planOf(entitystore, entitystore.small, world(wrongKey))
  assert.match(condition(second, 'Ready')?.message ?? '', /has no key pw/)
})

test('a changed Secret or ConfigMap changes the pod template; the order of others does not', async () => {
  const hash = async (objects: KubeObject[]) => {
    const plan = await planOf(customizer, customizer.full, world(objects))
    return JSON.stringify(the(plan, 'Deployment').spec.template.metadata)
  }
  const before = await hash(CLUSTER)
  assert.equal(await hash([...CLUSTER].reverse()), before)
  for (const name of ['pg', 'wandb', 'models', 'training']) {
    const changed = CLUSTER.map((o) =>
      o.metadata.name === name ? { ...o, data: { ...(o.data as Fields), pw: 'bmV3', more: 'eA==' } } : o,
    )
    assert.notEqual(await hash(changed), before, name)
  }
})

test('our Customizer gets the key of Weights & Biases from its Secret, and says when there is none', async () => {
  const env = async (plan: Promise<Plan>) =>
    podOf(await plan).containers[0].env.find(({ name }: Fields) => name === 'WANDB_API_KEY')
  assert.deepEqual((await env(planOf(customizer, customizer.full))).valueFrom, {
    secretKeyRef: { name: 'wandb', key: 'k', optional: true },
  })
  // NVIDIA's image keeps to the contract, in which the key has no variable of its own.
  assert.equal(await env(planOf(customizer, { ...customizer.full, image: NVIDIA })), undefined)
  const said = async (objects: KubeObject[]) =>
    conditionsOf(await planOf(customizer, customizer.full, world(objects))).some(({ message }) =>
      /Secret wandb has no key k/.test(message),
    )
  assert.equal(await said(CLUSTER), false)
  assert.equal(await said(CLUSTER.filter(({ metadata }) => metadata.name !== 'wandb')), true)
})

test('passwords are percent-encoded in the URL that the Secret holds', async () => {
  const plan = await planOf(customizer, customizer.full)
  const { dsn = '' } = the(plan, 'Secret').data as { dsn?: string }
  const url = Buffer.from(dsn, 'base64').toString()
  assert.equal(url, 'postgresql://theuser:p%40ss%2Fw%3Ard%231@db:5433/thedb')
})

test('a Guardrails service needs neither database nor configuration', async () => {
  const plan = await planOf(guardrail, guardrail.small)
  assert.ok(podOf(plan).volumes.some((v: Fields) => v.name === 'config-store' && v.emptyDir))
})

test('the config store of Guardrails is mounted where its service is told to look, from either source', async () => {
  const claim = { create: true, size: '1Gi' }
  const stores: [Fields, Fields, string | undefined][] = [
    [{ configMap: { name: 'models' } }, { configMap: { name: 'models' } }, undefined],
    [{ pvc: claim }, { persistentVolumeClaim: { claimName: 'sample-pvc' } }, 'guardrails-config-store'],
    [
      { pvc: { ...claim, name: 'mine', subPath: 'a/b' } },
      { persistentVolumeClaim: { claimName: 'mine' } },
      'a/b',
    ],
  ]
  for (const image of [guardrail.small.image, NVIDIA])
    for (const [configStore, source, subPath] of stores) {
      const plan = await planOf(guardrail, { ...guardrail.small, image, configStore })
      const { volumes, containers } = podOf(plan)
      const path = containers[0].env.find(({ name }: Fields) => name === 'CONFIG_STORE_PATH').value
      const mount = containers[0].volumeMounts.find((m: Fields) => m.mountPath === path)
      assert.deepEqual(
        volumes.find(({ name }: Fields) => name === mount.name),
        { name: mount.name, ...source },
      )
      assert.equal(mount.subPath, subPath)
    }
  const absent = await planOf(guardrail, { ...guardrail.small, configStore: { configMap: { name: 'no' } } })
  assert.match(condition(absent, 'Ready')?.message ?? '', /ConfigMap no .* does not exist/)
})

test('claims have no owner to go with, and one that must exist is asked for', async () => {
  const spec = { ...guardrail.small, configStore: { pvc: { name: 'mine' } } }
  const plan = await planOf(guardrail, spec)
  assert.match(condition(plan, 'Ready')?.message ?? '', /PersistentVolumeClaim mine does not exist/)
})

test('Ready follows the Deployment, and the pods say why it is not', async () => {
  const made = await planOf(entitystore, { ...entitystore.small, replicas: 1 })
  const owner = resourceOf(entitystore, entitystore.small)
  const deployment = find(made, 'Deployment') as KubeObject
  const status = { observedGeneration: 1, updatedReplicas: 1, replicas: 1, availableReplicas: 1 }
  const at = (s: Fields, pods: KubeObject[] = []) => world([...CLUSTER, live(deployment, owner, s), ...pods])
  const ready = await planOf(entitystore, entitystore.small, at(status))
  assert.equal(ready.status.state, 'Ready')
  assert.equal(ready.requeueAfterMs, undefined)
  const pod: KubeObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', labels: { app: 'sample' } },
    status: {
      phase: 'Pending',
      containerStatuses: [
        { name: 'c', state: { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } } },
      ],
    },
  }
  const failing = await planOf(entitystore, entitystore.small, at({ ...status, availableReplicas: 0 }, [pod]))
  assert.equal(failing.status.state, 'NotReady')
  assert.match(
    condition(failing, 'Ready')?.message ?? '',
    /ImagePullBackOff.*no such image.*check the image name/,
  )
  const refused = {
    type: 'ReplicaFailure',
    status: 'True',
    reason: 'FailedCreate',
    message: 'exceeded quota',
  }
  const quota = await planOf(
    entitystore,
    entitystore.small,
    at({ ...status, updatedReplicas: 0, conditions: [refused] }),
  )
  assert.match(condition(quota, 'Ready')?.message ?? '', /exceeded quota/)
})

test('with a scaler the number of replicas is left to it', async () => {
  const plan = await planOf(entitystore, entitystore.full)
  assert.equal(the(plan, 'Deployment').spec.replicas, undefined)
  assert.ok(find(plan, 'HorizontalPodAutoscaler'))
  const off = await planOf(entitystore, entitystore.small)
  assert.ok(off.remove?.some((ref) => ref.kind === 'HorizontalPodAutoscaler'))
})

test('the defaults of the installation reach the pods', async () => {
  const defaults = {
    imageRegistry: 'mirror.example.com:5000/x',
    imagePullSecrets: ['pull'],
    scheduling: {
      nodeSelector: { a: 'b' },
      tolerations: [{ key: 't' }],
      affinity: { nodeAffinity: { n: 1 } },
    },
    customCA: { configMap: 'ca', key: 'ca.crt' },
    proxy: { https: 'http://proxy:3128', noProxy: '.svc' },
  }
  const pod = podOf(await planOf(entitystore, entitystore.small, world(CLUSTER, defaults)))
  assert.equal(pod.containers[0].image, 'mirror.example.com:5000/x/open-nemo/services:0.1.0')
  assert.deepEqual(pod.imagePullSecrets, [{ name: 'pull' }])
  assert.deepEqual([pod.nodeSelector, pod.tolerations], [{ a: 'b' }, [{ key: 't' }]])
  assert.deepEqual(pod.affinity, { nodeAffinity: { n: 1 } })
  const env = Object.fromEntries(
    pod.containers[0].env.map((e: { name: string; value: string }) => [e.name, e.value]),
  )
  assert.equal(env.HTTPS_PROXY, 'http://proxy:3128')
  assert.equal(env.NODE_EXTRA_CA_CERTS, '/etc/open-nemo/ca/ca.crt')
})

test('a spec that cannot be is Failed with the field at fault', async () => {
  const plan = await planOf(entitystore, { image: { repository: 'x', tag: 'y' } })
  assert.equal(plan.status.state, 'Failed')
  assert.match(condition(plan, 'Ready')?.message ?? '', /spec\.databaseConfig/)
})
