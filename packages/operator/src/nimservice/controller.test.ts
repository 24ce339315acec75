// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { KubeObject, Plan } from '../framework/types.ts'
import { type FakeWorld, fakeWorld, live, resource } from '../pod-basics/testing.ts'
import { createNimServiceController } from './controller.ts'

const API = 'apps.nvidia.com/v1alpha1'
const OURS = { repository: 'localhost/open-nemo/services', tag: '0.1.0' }
const SPEC = {
  image: OURS,
  storage: { nimCache: { name: 'nimcache-sample' } },
  expose: { service: { port: 8000 } },
}
const cache: KubeObject = {
  ...resource(
    API,
    'NIMCache',
    {
      source: {
        dataStore: { endpoint: 'http://d/v1/hf', namespace: 'smollm2', modelName: 'smollm2-135m-instruct' },
      },
      storage: { pvc: { create: true, subPath: 'models' } },
    },
    { name: 'nimcache-sample' },
  ),
  status: { state: 'Ready', pvc: 'nimcache-sample-pvc', model: 'smollm2/smollm2-135m-instruct' },
}
const stores = [
  resource(API, 'NemoEntitystore', {}, { name: 'nemoentitystore-sample' }),
  resource(API, 'NemoDatastore', { expose: { service: { port: 3000 } } }, { name: 'nemodatastore-sample' }),
]
const nim = (spec: Record<string, unknown> = {}, status?: Record<string, unknown>) =>
  resource(API, 'NIMService', { ...SPEC, ...spec }, { name: 'llm', ...(status ? { status } : {}) })
const controller = createNimServiceController()
const planOf = (it: KubeObject, world: FakeWorld, by = controller) => by.plan(it, world) as Plan
// biome-ignore lint/suspicious/noExplicitAny: objects are read field by field
type Any = any
const find = (plan: Plan, kind: string): Any => plan.apply.find((each) => each.kind === kind)
const conditionOf = (plan: Plan, type: string): Any =>
  (plan.status.conditions as Any[]).find((each) => each.type === type)
const world = (more: KubeObject[] = [], options = {}) => fakeWorld([cache, ...stores, ...more], options)
const envOf = (plan: Plan): Record<string, string> =>
  Object.fromEntries(
    find(plan, 'Deployment').spec.template.spec.containers[0].env.map((each: Any) => [each.name, each.value]),
  )

test('golden: our engine on a CPU, restricted, with the cache and the stores of the namespace', () => {
  const plan = planOf(nim(), world())
  const deployment = find(plan, 'Deployment')
  assert.deepEqual(
    [deployment.metadata.name, deployment.spec.replicas, deployment.spec.strategy],
    ['llm', 1, { type: 'Recreate' }],
  )
  const { containers, volumes, securityContext, ...pod } = deployment.spec.template.spec
  assert.deepEqual(pod, {
    serviceAccountName: 'llm',
    automountServiceAccountToken: false,
    enableServiceLinks: false,
  })
  assert.equal(securityContext.runAsNonRoot, true)
  const [container] = containers
  assert.deepEqual(container.args, ['serve', 'inference'])
  assert.deepEqual(container.ports, [{ name: 'api', containerPort: 8000 }])
  assert.equal(JSON.stringify(container.resources).includes('gpu'), false, 'no GPU unless asked for')
  assert.deepEqual(container.volumeMounts[0], {
    name: 'model-store',
    mountPath: '/model-store',
    subPath: 'models',
    readOnly: true,
  })
  assert.deepEqual(volumes[0], {
    name: 'model-store',
    persistentVolumeClaim: { claimName: 'nimcache-sample-pvc' },
  })
  assert.equal(container.startupProbe.httpGet.path, '/v1/health/ready')
  assert.equal(container.livenessProbe.httpGet.path, '/v1/health/live')
  const env = envOf(plan)
  assert.equal(env.NIM_CACHE_PATH, '/model-store')
  assert.equal(env.NIM_SERVED_MODEL_NAME, 'smollm2/smollm2-135m-instruct')
  assert.equal(env.NIM_PEFT_SOURCE, 'http://nemoentitystore-sample.ns.svc.cluster.local:8000')
  assert.equal(env.NEMO_DATA_STORE_URL, 'http://nemodatastore-sample.ns.svc.cluster.local:3000')
  assert.deepEqual([env.NIM_SERVER_PORT, env.PORT, env.NEMO_HOST], ['8000', '8000', '0.0.0.0'])
  const service = find(plan, 'Service')
  assert.deepEqual([service.spec.selector, service.spec.ports[0].targetPort], [{ app: 'llm' }, 'api'])
  assert.equal(find(plan, 'ServiceAccount').metadata.name, 'llm')
  assert.equal(find(plan, 'Role'), undefined, "no rights beyond everybody's")
})

test('every field of the spec, and every default of the installation, reaches the pod or an object', () => {
  const text = (plan: Plan) => JSON.stringify(plan.apply)
  const before = text(planOf(nim(), world()))
  const changes: Record<string, unknown> = {
    image: { ...OURS, tag: '2' },
    'image.repository': { ...OURS, repository: 'quay.io/vllm/vllm' },
    'image.pullPolicy': { ...OURS, pullPolicy: 'Always' },
    'image.pullSecrets': { ...OURS, pullSecrets: ['ngc-secret'] },
    command: ['x'],
    args: ['y'],
    env: [{ name: 'NIM_MAX_MODEL_LEN', value: '4096' }],
    labels: { team: 'a' },
    annotations: { note: 'b' },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'g5-gpu', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
    resources: { limits: { 'nvidia.com/gpu': 1 } },
    replicas: 2,
    userID: 77,
    groupID: 88,
    runtimeClass: 'nvidia',
    runtimeClassName: 'nvidia',
    schedulerName: 'other',
    priorityClassName: 'high',
    authSecret: 'ngc-api-secret',
    'storage.nimCache.profile': { nimCache: { name: 'nimcache-sample', profile: 'h1' } },
    'storage.pvc': { pvc: { create: true, size: '3Gi' } },
    'storage.emptyDir': { emptyDir: { sizeLimit: '3Gi' } },
    'storage.shared': { ...SPEC.storage, sharedMemorySizeLimit: '1Gi' },
    expose: { service: { port: 8080 } },
    'expose.type': { service: { port: 8000, type: 'NodePort' } },
    'expose.annotations': { service: { port: 8000, annotations: { a: 'b' } } },
    'expose.grpc': { service: { port: 8000, grpcPort: 9000 } },
    'expose.metrics': { service: { port: 8000, metricsPort: 9001 } },
    'expose.ingress': { service: { port: 8000 }, ingress: { enabled: true, spec: {} } },
    scale: { enabled: true, hpa: { maxReplicas: 3 } },
    metrics: { enabled: true },
    livenessProbe: { enabled: false },
    readinessProbe: { probe: { tcpSocket: { port: 1 } } },
    startupProbe: { enabled: false },
    initContainers: [{ name: 'i', image: { repository: 'a', tag: '1' } }],
    sidecarContainers: [{ name: 's', image: { repository: 'a', tag: '1' } }],
    proxy: { httpsProxy: 'http://p:1', certConfigMap: 'ca' },
  }
  for (const [field, value] of Object.entries(changes)) {
    const key = field.split('.')[0] ?? ''
    assert.notEqual(text(planOf(nim({ [key]: value }), world())), before, `spec.${field} changes nothing`)
  }
  for (const defaults of [
    { imageRegistry: 'mirror' },
    { imagePullSecrets: ['p'] },
    { scheduling: { tolerations: [{ key: 'a', operator: 'Exists' }] } },
    { customCA: { configMap: 'ca' } },
    { proxy: { http: 'http://p' } },
    { podSecurity: 'openshift' },
  ]) {
    assert.notEqual(text(planOf(nim(), world([], { defaults }))), before, JSON.stringify(defaults))
  }
  const secret = (token: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'nemo-internal-token' },
    data: { token },
  })
  assert.notEqual(
    text(planOf(nim(), world([secret('a')]))),
    text(planOf(nim(), world([secret('b')]))),
    'a changed Secret',
  )
})

test('a scaler leaves replicas out; shared storage without a GPU rolls', () => {
  const scaled = find(
    planOf(nim({ scale: { enabled: true, hpa: { maxReplicas: 3 } } }), world()),
    'Deployment',
  )
  assert.equal('replicas' in scaled.spec, false)
  const both = nim({ replicas: 2, scale: { enabled: true, hpa: { maxReplicas: 3 } } })
  assert.equal('replicas' in find(planOf(both, world()), 'Deployment').spec, false)
  assert.match(JSON.stringify(planOf(both, world()).status), /kept and without effect: spec\.replicas/)
  const free = find(planOf(nim({ storage: { emptyDir: {} } }), world()), 'Deployment')
  assert.equal(free.spec.strategy.type, 'RollingUpdate')
  const gpu = nim({ storage: { emptyDir: {} }, resources: { limits: { 'nvidia.com/gpu': 1 } } })
  assert.equal(find(planOf(gpu, world()), 'Deployment').spec.strategy.type, 'Recreate')
})

test('what it waits for is said, and no pod is made meanwhile', () => {
  const waiting = {
    ...cache,
    status: { state: 'InProgress', conditions: [{ type: 'Ready', message: 'pod x brings the model' }] },
  }
  const plan = planOf(nim(), fakeWorld([waiting]))
  assert.equal(find(plan, 'Deployment'), undefined)
  assert.match(
    conditionOf(plan, 'Ready').message,
    /NIMCache nimcache-sample is InProgress: pod x brings the model/,
  )
  const absent = planOf(nim(), fakeWorld())
  assert.match(conditionOf(absent, 'Ready').message, /does not exist/)
  const host = planOf(nim({ storage: { hostPath: '/models' } }), world())
  assert.deepEqual([host.status.state, conditionOf(host, 'Ready').reason], ['Failed', 'HostPathRefused'])
  const both = planOf(nim({ storage: { ...SPEC.storage, emptyDir: { sizeLimit: '1Gi' } } }), world())
  assert.equal(conditionOf(both, 'Ready').reason, 'InvalidStorage')
  const without = planOf(nim({ multiNode: { backendType: 'lws' } }), world())
  assert.match(conditionOf(without, 'FieldsNotActedOn').message, /spec.multiNode/)
})

test('ready only after GET /v1/models answers; a restart of the operator trusts what it was told', async () => {
  let answer: (() => Promise<{ name: string }>) | undefined
  const asked: string[] = []
  const by = createNimServiceController(async (url) => {
    asked.push(url)
    if (!answer) throw new Error('refused')
    return answer()
  })
  const here = world()
  const deployment = live(find(planOf(nim(), here, by), 'Deployment'), nim(), {
    observedGeneration: 1,
    replicas: 1,
    updatedReplicas: 1,
    availableReplicas: 1,
  })
  here.objects.push(deployment)
  const first = planOf(nim(), here, by)
  assert.deepEqual(
    [first.status.state, conditionOf(first, 'Ready').reason],
    ['NotReady', 'ModelNotAnswering'],
  )
  assert.equal(await first.effect?.(), true, 'the first failure is said at once')
  assert.match(
    conditionOf(planOf(nim(), here, by), 'Ready').message,
    /does not answer the operator \(refused\)/,
  )
  answer = async () => ({ name: 'smollm2/smollm2-135m-instruct' })
  assert.equal(await planOf(nim(), here, by).effect?.(), true, 'an answer is used at once')
  const ready = planOf(nim(), here, by)
  assert.equal(ready.status.state, 'Ready')
  assert.deepEqual(ready.status.model, {
    name: 'smollm2/smollm2-135m-instruct',
    clusterEndpoint: 'http://llm.ns.svc.cluster.local:8000',
    externalEndpoint: '',
  })
  assert.deepEqual([asked.length, ready.effect], [2, undefined])
  const restarted = planOf(nim({}, ready.status), here, createNimServiceController())
  assert.equal(restarted.status.state, 'Ready')
  const changed = nim({ env: [{ name: 'A', value: 'b' }] }, ready.status)
  assert.equal(planOf(changed, here, createNimServiceController()).status.state, 'NotReady')
})

test('it is asked ever less often while it does not answer, and nothing else is looked for again', async () => {
  const by = createNimServiceController(() => Promise.reject(new Error('refused')))
  const here = world()
  assert.equal(planOf(nim(), here, by).requeueAfterMs, undefined, 'pods and Deployment tell of themselves')
  const status = { observedGeneration: 1, replicas: 1, updatedReplicas: 1, availableReplicas: 1 }
  here.objects.push(live(find(planOf(nim(), here, by), 'Deployment'), nim(), status))
  const waits: (number | undefined)[] = []
  for (let i = 0; i < 8; i++) {
    const plan = planOf(nim(), here, by)
    waits.push(plan.requeueAfterMs)
    assert.equal(await plan.effect?.(), i === 0)
  }
  assert.deepEqual(waits, [2_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  const served = ['serving.kserve.io/v1beta1/InferenceService']
  for (const each of [nim({ inferencePlatform: 'kserve' }), nim({ storage: { pvc: { name: 'absent' } } })])
    assert.equal(planOf(each, world([], { served })).requeueAfterMs, undefined)
})

test('pods of a NIM and the stores that adapters come from plan it again', () => {
  const here = world([nim()])
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x', labels: { app: 'llm' } } }
  for (const object of [pod, ...stores]) assert.deepEqual(controller.concerns?.(object, here), ['llm'])
  assert.deepEqual(controller.concerns?.(cache, here), [])
})

test("NVIDIA's image runs under nonroot, with its own account bound and a condition; others restricted", () => {
  const image = { repository: 'nvcr.io/nim/meta/llama-3.2-1b-instruct', tag: '1.8' }
  const plan = planOf(
    nim({ image, authSecret: 'ngc-api-secret' }),
    world([], { defaults: { podSecurity: 'openshift' } }),
  )
  const template = find(plan, 'Deployment').spec.template
  assert.deepEqual(template.spec.securityContext, {
    runAsNonRoot: true,
    runAsUser: 1000,
    runAsGroup: 2000,
    fsGroup: 2000,
    fsGroupChangePolicy: 'OnRootMismatch',
  })
  assert.equal(template.metadata.annotations['openshift.io/required-scc'], 'nonroot')
  assert.deepEqual(find(plan, 'RoleBinding').subjects, [{ kind: 'ServiceAccount', name: 'llm' }])
  assert.match(conditionOf(plan, 'ForeignImage').message, /nonroot/)
  const ngcKey = template.spec.containers[0].env.find((each: Any) => each.name === 'NGC_API_KEY')
  assert.equal(ngcKey.valueFrom.secretKeyRef.name, 'ngc-api-secret')
  assert.equal(envOf(plan).NIM_PEFT_SOURCE, undefined)
})

test('KServe: an InferenceService under its CRD, a condition without it', () => {
  const it = nim({ inferencePlatform: 'kserve' })
  assert.equal(conditionOf(planOf(it, world()), 'Ready').reason, 'KServeAbsent')
  const served = ['serving.kserve.io/v1beta1/InferenceService']
  const plan = planOf(it, world([], { served }))
  const { predictor } = find(plan, 'InferenceService').spec
  assert.deepEqual(
    [predictor.containers[0].name, predictor.serviceAccountName, predictor.minReplicas],
    ['kserve-container', 'llm', 1],
  )
  assert.deepEqual(
    plan.remove?.map((each) => each.kind),
    ['Deployment', 'Service'],
  )
  assert.equal(find(plan, 'Deployment'), undefined)
})
