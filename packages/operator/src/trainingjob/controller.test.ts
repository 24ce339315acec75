// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { jobToken } from '@open-nemo/runtime/executors/index.ts'
import type { KubeObject, Plan } from '../framework/types.ts'
import { type FakeWorld, fakeWorld, live, resource } from '../pod-basics/testing.ts'
import { trainingJobController } from './controller.ts'
import { labelsOf } from './pod.ts'

const TOKEN = 'installation-token-of-tests'
const secret: KubeObject = {
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'nemo-internal-token' },
  data: { token: Buffer.from(TOKEN).toString('base64') },
}
const SPEC = {
  jobId: 'cust-ABC',
  attempt: 1,
  callbackURL: 'http://nemocustomizer-sample.ns.svc:9009',
  serviceAccountName: 'nemocustomizer-sample',
}
const VOLCANO = ['batch.volcano.sh/v1alpha1/Job', 'scheduling.volcano.sh/v1beta1/PodGroup']

const job = (spec: Record<string, unknown> = {}, status?: Record<string, unknown>) =>
  resource('nvidia.com/v1alpha1', 'NemoTrainingJob', { ...SPEC, ...spec }, status ? { status } : {})
const planOf = (it: KubeObject, world: FakeWorld) => trainingJobController.plan(it, world) as Plan
// biome-ignore lint/suspicious/noExplicitAny: objects are read field by field
type Any = any
const find = (plan: Plan, kind: string): Any => plan.apply.find((each) => each.kind === kind)
const podOf = (run: KubeObject, status: Record<string, unknown>): KubeObject =>
  live(
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: `${run.metadata.name}-x`, labels: labelsOf('sample') },
    },
    run,
    status,
  )
const ended = (exitCode: number, reason = 'Error') => ({
  phase: exitCode === 0 ? 'Succeeded' : 'Failed',
  containerStatuses: [{ name: 'trainer', state: { terminated: { exitCode, reason } } }],
})

/** The plan's run, put into the world as the API server would have it. */
function started(it: KubeObject, world: FakeWorld, status: Record<string, unknown> = {}): KubeObject {
  const run = live(find(planOf(it, world), 'Job'), it, status)
  world.objects.push(run)
  return run
}

test('golden: a Job with a restricted pod, its own token and a workspace', () => {
  const plan = planOf(job(), fakeWorld([secret]))
  const run = find(plan, 'Job')
  assert.match(run.metadata.name, /^sample-1-[0-9a-f]{8}$/)
  const { template, ...spec } = run.spec
  assert.deepEqual(spec, {
    completions: 1,
    parallelism: 1,
    backoffLimit: 6,
    podReplacementPolicy: 'Failed',
    suspend: false,
    ttlSecondsAfterFinished: 3600,
    podFailurePolicy: {
      rules: [
        { action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] },
        {
          action: 'FailJob',
          onExitCodes: { containerName: 'trainer', operator: 'In', values: [1, 2, 3] },
        },
      ],
    },
  })
  assert.deepEqual(template, {
    metadata: {
      labels: labelsOf('sample'),
      annotations: { 'openshift.io/required-scc': 'restricted-v2', 'sidecar.istio.io/inject': 'false' },
    },
    spec: {
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      serviceAccountName: 'nemocustomizer-sample',
      terminationGracePeriodSeconds: 60,
      securityContext: {
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
        runAsUser: 1000,
        runAsGroup: 1000,
        fsGroup: 1000,
        fsGroupChangePolicy: 'OnRootMismatch',
      },
      containers: [
        {
          name: 'trainer',
          image: 'localhost/open-nemo/trainer:0.1.0',
          env: [
            { name: 'NEMO_JOB_ID', value: 'cust-ABC' },
            {
              name: 'NEMO_JOB_URL',
              value: 'http://nemocustomizer-sample.ns.svc:9009/internal/jobs/cust-ABC',
            },
            { name: 'NEMO_WORKSPACE', value: '/pvc/workspace' },
            { name: 'HOME', value: '/tmp' },
            {
              name: 'NEMO_JOB_TOKEN',
              valueFrom: { secretKeyRef: { name: 'sample-token', key: 'token' } },
            },
          ],
          resources: { requests: { cpu: '250m', memory: '2Gi' }, limits: { memory: '6Gi' } },
          securityContext: {
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
            readOnlyRootFilesystem: true,
          },
          volumeMounts: [
            { name: 'workspace', mountPath: '/pvc/workspace' },
            { name: 'tmp', mountPath: '/tmp' },
            { name: 'dshm', mountPath: '/dev/shm' },
          ],
        },
      ],
      volumes: [
        { name: 'workspace', persistentVolumeClaim: { claimName: 'sample-workspace' } },
        { name: 'tmp', emptyDir: {} },
        { name: 'dshm', emptyDir: { medium: 'Memory' } },
      ],
    },
  })
  const token = Buffer.from(find(plan, 'Secret').data.token, 'base64').toString()
  assert.equal(token, jobToken(TOKEN, 'cust-ABC'))
  assert.notEqual(token, TOKEN)
  assert.equal(find(plan, 'PersistentVolumeClaim').metadata.ownerReferences[0].kind, 'NemoTrainingJob')
})

test('on OpenShift no user and no fsGroup is set', () => {
  const world = fakeWorld([secret], { defaults: { podSecurity: 'openshift' } })
  assert.deepEqual(find(planOf(job(), world), 'Job').spec.template.spec.securityContext, {
    runAsNonRoot: true,
    seccompProfile: { type: 'RuntimeDefault' },
  })
})

test('every field of the spec, and every default of the installation, reaches the pod', () => {
  const before = JSON.stringify(find(planOf(job(), fakeWorld([secret])), 'Job').spec)
  const changes: Record<string, unknown> = {
    jobId: 'cust-other',
    callbackURL: 'http://other:9009',
    image: 'r/open-nemo/trainer:2',
    imagePullPolicy: 'Always',
    imagePullSecrets: [{ name: 'pull' }],
    serviceAccountName: 'other',
    command: ['x'],
    args: ['y'],
    env: [{ name: 'A', value: 'b' }],
    resources: { requests: { cpu: '3' } },
    workspace: { mountPath: '/elsewhere' },
    volumes: [{ name: 'models', persistentVolumeClaim: { claimName: 'm' } }],
    volumeMounts: [{ name: 'models', mountPath: '/mount/models' }],
    sharedMemorySizeLimit: '1Gi',
    scheduler: { type: 'job', priorityClassName: 'high' },
    backoffLimit: 2,
    activeDeadlineSeconds: 60,
    ttlSecondsAfterFinished: 5,
    suspend: true,
    labels: { team: 'a' },
    annotations: { note: 'b' },
    nodeSelector: { disk: 'ssd' },
    tolerations: [{ key: 'gpu', operator: 'Exists' }],
    affinity: { nodeAffinity: {} },
  }
  for (const [field, value] of Object.entries(changes)) {
    const after = JSON.stringify(find(planOf(job({ [field]: value }), fakeWorld([secret])), 'Job').spec)
    assert.notEqual(after, before, `spec.${field} changes nothing`)
  }
  const defaults: Record<string, unknown> = {
    imageRegistry: 'mirror.example:5000',
    imagePullSecrets: ['pull'],
    scheduling: { tolerations: [{ key: 'g5-gpu', operator: 'Exists' }] },
    customCA: { configMap: 'ca' },
    proxy: { https: 'http://proxy:3128' },
    images: { trainer: 'localhost/open-nemo/trainer:2' },
    podSecurity: 'openshift',
    runAsUser: 2222,
    fsGroup: 3333,
  }
  for (const [field, value] of Object.entries(defaults)) {
    const world = fakeWorld([secret], { defaults: { [field]: value } })
    assert.notEqual(JSON.stringify(find(planOf(job(), world), 'Job').spec), before, `default ${field}`)
  }
  const trusting = fakeWorld([secret], { defaults: { customCA: { configMap: 'ca', key: 'ca.pem' } } })
  const { env } = find(planOf(job(), trusting), 'Job').spec.template.spec.containers[0]
  const file = (env as Any[]).find(({ name }) => name === 'SSL_CERT_FILE')?.value
  assert.equal(file, '/etc/open-nemo/ca/ca.pem', 'the trainer is Python')
})

test('Volcano: all that its webhooks would set is there; without its CRDs it is a Job, and says so', () => {
  const it = job({ scheduler: { type: 'volcano', queue: 'research' } })
  const plan = planOf(it, fakeWorld([secret], { served: VOLCANO }))
  const run = find(plan, 'Job')
  assert.equal(run.apiVersion, 'batch.volcano.sh/v1alpha1')
  const { tasks, ...spec } = run.spec
  assert.deepEqual(
    [spec.schedulerName, spec.queue, spec.minAvailable, spec.maxRetry],
    ['volcano', 'research', 1, 6],
  )
  assert.deepEqual(
    [tasks[0].name, tasks[0].replicas, tasks[0].minAvailable, tasks[0].template.spec.schedulerName],
    ['trainer', 1, 1, 'volcano'],
  )
  const without = planOf(it, fakeWorld([secret]))
  assert.equal(find(without, 'Job').apiVersion, 'batch/v1')
  const scheduler = (without.status.conditions as Any[]).find((each) => each.type === 'Scheduler')
  assert.deepEqual([scheduler.status, scheduler.reason], ['False', 'VolcanoAbsent'])
})

test('the status says why a pod waits', () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [
      {
        phase: 'Pending',
        conditions: [
          {
            type: 'PodScheduled',
            status: 'False',
            reason: 'Unschedulable',
            message: '0/3 nodes: taint g5-gpu',
          },
        ],
      },
      /taint g5-gpu; lower the requests, or give tolerations/,
    ],
    [
      {
        phase: 'Pending',
        containerStatuses: [
          { name: 'trainer', state: { waiting: { reason: 'ImagePullBackOff', message: 'no such image' } } },
        ],
      },
      /ImagePullBackOff: no such image; check the image name/,
    ],
  ]
  for (const [status, wanted] of cases) {
    const world = fakeWorld([secret])
    const run = started(job(), world)
    world.objects.push(podOf(run, status))
    const plan = planOf(job(), world)
    assert.equal(plan.status.state, 'Pending')
    assert.match(String(plan.status.message), wanted)
  }
  const world = fakeWorld([secret])
  const run = started(job(), world)
  world.objects.push({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'e' },
    type: 'Warning',
    reason: 'FailedCreate',
    message: 'pods is forbidden: exceeded quota: q',
    involvedObject: { kind: 'Job', name: run.metadata.name },
  })
  assert.match(String(planOf(job(), world).status.message), /exceeded quota: q; raise the ResourceQuota/)
})

test('Volcano tells on the PodGroup why a gang waits, and not at all when the queue is missing', () => {
  const it = job({ scheduler: { type: 'volcano' } })
  const world = fakeWorld([secret], { served: VOLCANO })
  const run = started(it, world)
  assert.match(String(planOf(it, world).status.message), /queue default does not exist or is not open/)
  run.status = { state: { phase: 'Pending' } }
  const group = live(
    {
      apiVersion: 'scheduling.volcano.sh/v1beta1',
      kind: 'PodGroup',
      metadata: { name: `${run.metadata.name}-${run.metadata.uid}` },
    },
    run,
    {
      phase: 'Inqueue',
      conditions: [
        { type: 'Unschedulable', status: 'True', reason: 'NotEnoughResources', message: 'Insufficient cpu' },
      ],
    },
  )
  world.objects.push(group)
  assert.match(
    String(planOf(it, world).status.message),
    /queue default: NotEnoughResources: Insufficient cpu/,
  )
})

// As Volcano 1.15 was seen to say it.
test('a gang that its queue does not let in says why, in the words of the Event that is no warning', () => {
  const it = job({ scheduler: { type: 'volcano' } })
  const world = fakeWorld([secret], { served: VOLCANO })
  const run = started(it, world)
  run.status = { state: { phase: 'Pending' }, minAvailable: 1, pending: 1, version: 1 }
  const group = live(
    {
      apiVersion: 'scheduling.volcano.sh/v1beta1',
      kind: 'PodGroup',
      metadata: { name: `${run.metadata.name}-${run.metadata.uid}` },
      spec: { minMember: 1, queue: 'default' },
    },
    run,
    { phase: 'Pending' },
  )
  const event = (type: string, message: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${group.metadata.name}.${type}` },
    type,
    reason: 'Unschedulable',
    message,
    involvedObject: { kind: 'PodGroup', name: group.metadata.name },
  })
  const normal = event('Normal', 'resource in cluster is overused: overused cpu')
  world.objects.push(group, normal)
  world.objects.push(
    event('Warning', '0/0 tasks in gang unschedulable: pod group is not ready, 1 minAvailable'),
  )
  assert.match(
    String(planOf(it, world).status.message),
    /queue default: Unschedulable: resource in cluster is overused: overused cpu/,
  )
  const name = it.metadata.name
  for (const object of [group, normal])
    assert.deepEqual(trainingJobController.concerns?.(object, world), [name])
  // Let in, and not placed: the condition says which node lacks what.
  group.status = {
    phase: 'Inqueue',
    conditions: [
      {
        type: 'Unschedulable',
        status: 'True',
        reason: 'NotEnoughResources',
        message:
          '1/1 tasks in gang unschedulable; Origin reason is 0/1 nodes are unavailable: 1 Insufficient cpu.',
      },
    ],
  }
  assert.match(String(planOf(it, world).status.message), /NotEnoughResources: .*1 Insufficient cpu/)
})

test('a change of its pod, its warnings or the token plans a job anew, and nothing else does', () => {
  const it = job({})
  const world = fakeWorld([secret])
  const run = started(it, world)
  world.objects.push(it)
  const concerns = (object: KubeObject) => trainingJobController.concerns?.(object, world)
  const name = it.metadata.name
  assert.deepEqual(concerns(podOf(run, { phase: 'Running' })), [name])
  assert.deepEqual(concerns(secret), [name])
  const about = (involvedObject: object): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: 'e' },
    involvedObject,
  })
  assert.deepEqual(concerns(about({ kind: 'Job', name: run.metadata.name })), [name])
  assert.deepEqual(concerns(about({ kind: 'Job', name: 'of-another' })), [])
  assert.deepEqual(concerns({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'other' } }), [])
})

test('ends: completed, failed by the trainer, out of time, out of memory, and kept after the Job is gone', () => {
  const failed = (reason: string) => ({
    conditions: [{ type: 'Failed', status: 'True', reason, message: reason }],
  })
  const cases: [Record<string, unknown>, Record<string, unknown> | undefined, Record<string, unknown>][] = [
    [{ conditions: [{ type: 'Complete', status: 'True' }] }, ended(0, 'Completed'), { state: 'Completed' }],
    [failed('PodFailurePolicy'), ended(1), { state: 'Failed', exitCode: 1, reason: 'PodFailurePolicy' }],
    [
      failed('DeadlineExceeded'),
      ended(143),
      { state: 'Failed', reason: 'DeadlineExceeded', exitCode: undefined },
    ],
    [{}, ended(137, 'OOMKilled'), { state: 'Failed', reason: 'OOMKilled', memoryLimitBytes: 6 * 2 ** 30 }],
  ]
  for (const [runStatus, podStatus, wanted] of cases) {
    const world = fakeWorld([secret])
    const run = started(job(), world, runStatus)
    if (podStatus) world.objects.push(podOf(run, podStatus))
    const plan = planOf(job(), world)
    const seen = Object.fromEntries(Object.keys(wanted).map((key) => [key, plan.status[key]]))
    assert.deepEqual(seen, wanted)
    assert.equal(find(plan, 'Job'), undefined, 'an ended run is not applied again')
    const later = planOf(job({}, plan.status), fakeWorld([secret]))
    assert.deepEqual(later.status, plan.status)
    assert.equal(later.apply.length, 0)
  }
})

test('a Volcano Job that runs for too long ends, where Volcano would begin its time again', () => {
  const it = job({ scheduler: { type: 'volcano' }, activeDeadlineSeconds: 60 })
  const world = fakeWorld([secret], { served: VOLCANO, now: '2026-11-24T12:00:00Z' })
  const run = started(it, world, { state: { phase: 'Running' } })
  assert.equal(planOf(it, world).status.state, 'Pending')
  world.now = new Date('2026-11-24T12:05:00Z')
  const plan = planOf(it, world)
  assert.deepEqual([plan.status.state, plan.status.reason], ['Failed', 'DeadlineExceeded'])
  assert.deepEqual(
    plan.remove?.map((each) => each.name),
    [run.metadata.name],
  )
})

test('an ended job keeps its workspace as long as its Job, and is removed a day later', () => {
  const status = { state: 'Completed', attempt: 1, completionTime: '2026-11-24T12:00:00Z' }
  const kinds = (now: string) => {
    const world = fakeWorld([secret], { now })
    return planOf(job({}, status), world).remove?.map((each) => each.kind)
  }
  assert.deepEqual(kinds('2026-11-24T12:10:00Z'), ['Secret'])
  assert.deepEqual(kinds('2026-11-24T13:10:00Z'), ['Secret', 'PersistentVolumeClaim'])
  assert.deepEqual(kinds('2026-11-25T13:10:00Z'), ['Secret', 'PersistentVolumeClaim', 'NemoTrainingJob'])
})

test('a changed toleration makes a waiting run anew and leaves a running one alone', () => {
  const changed = job({ tolerations: [{ key: 'g5-gpu', operator: 'Exists' }] })
  const world = fakeWorld([secret])
  const run = started(job(), world)
  const pod = podOf(run, { phase: 'Pending' })
  world.objects.push(pod)
  const waiting = planOf(changed, world)
  assert.deepEqual(waiting.remove, [{ apiVersion: 'batch/v1', kind: 'Job', name: run.metadata.name }])
  assert.equal(find(waiting, 'Job'), undefined, 'not before the pod of the old one is gone')
  assert.equal(waiting.events?.[0]?.reason, 'Recreated')
  world.objects.splice(world.objects.indexOf(pod), 1)
  assert.notEqual(find(planOf(changed, world), 'Job').metadata.name, run.metadata.name)
  world.objects.push(podOf(run, { phase: 'Running' }))
  const running = planOf(changed, world)
  assert.deepEqual([running.remove, find(running, 'Job')], [[], undefined])
  assert.equal(running.status.state, 'Running')
})

test('cancel takes the run away and is done when its pod is gone; a new attempt runs again', () => {
  const world = fakeWorld([secret])
  const run = started(job(), world)
  const cancelling = planOf(job({ cancel: true }), world)
  assert.deepEqual([cancelling.status.reason, cancelling.remove?.length], ['Cancelling', 1])
  world.objects.splice(world.objects.indexOf(run), 1)
  assert.equal(planOf(job({ cancel: true }), world).status.state, 'Cancelled')
  const again = planOf(job({ attempt: 2 }, { state: 'Cancelled', attempt: 1 }), world)
  assert.match(find(again, 'Job').metadata.name, /^sample-2-/)
})

test('what is missing is named: the token, a wrong spec', () => {
  assert.match(String(planOf(job(), fakeWorld()).status.message), /Secret nemo-internal-token .* is missing/)
  assert.match(String(planOf(job({ callbackURL: 'x' }), fakeWorld()).status.message), /spec.callbackURL/)
})
