// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Database, openMemoryDatabase } from '@open-nemo/runtime'
import { type KubernetesApi, KubernetesError } from '@open-nemo/runtime/executors/index.ts'
import { evaluateJob } from '../one-job.ts'
import { type Body, type Harness, startHarness } from '../testing/harness.ts'
import { workloadName } from './dispatcher.ts'
import { createArgoLauncher, createKubernetesLauncher } from './launchers.ts'
import type { Launcher, PodSpec } from './types.ts'

const OWNER = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'evaluator-1', uid: 'u' }
const OWN: PodSpec = {
  serviceAccountName: 'own',
  nodeName: 'node-1',
  securityContext: { runAsNonRoot: true },
  imagePullSecrets: [{ name: 'pull' }],
  priorityClassName: 'high',
  enableServiceLinks: false,
  containers: [
    {
      name: 'evaluator',
      image: 'reg/services:1',
      args: ['serve', 'evaluator'],
      env: [{ name: 'POSTGRES_URI', valueFrom: { secretKeyRef: { name: 's', key: 'uri' } } }],
      livenessProbe: {},
      volumeMounts: [
        { name: 'data', mountPath: '/data' },
        { name: 'kube-api-access-x', mountPath: '/var/run' },
      ],
    },
  ],
  volumes: [
    { name: 'data', persistentVolumeClaim: { claimName: 'c' } },
    { name: 'kube-api-access-x', projected: {} },
  ],
}

/** An API server that keeps objects by path. */
function fakeApi() {
  const objects = new Map<string, Body>()
  const api: KubernetesApi = {
    namespace: 'ns',
    async call(method, path, body) {
      const [bare = ''] = path.split('?')
      if (path === '/api/v1/namespaces/ns/pods/me')
        return { spec: OWN, metadata: { ownerReferences: [{ ...OWNER, controller: true }] } } as never
      if (method === 'POST') {
        const key = `${path}/${(body as Body).metadata.name}`
        if (objects.has(key)) throw new KubernetesError(409, 'exists')
        objects.set(key, body)
        return body as never
      }
      if (!objects.has(bare)) throw new KubernetesError(404, 'absent')
      if (method === 'DELETE') objects.delete(bare)
      return (objects.get(bare) ?? {}) as never
    },
  }
  return { api, objects }
}

test('a batch Job has the evaluator’s own image, environment and security, and nothing that only one pod may hold', async () => {
  const { api, objects } = fakeApi()
  const launcher = createKubernetesLauncher(api, { SERVICE_ACCOUNT: 'runner' }, 'me')
  await launcher.launch({ name: 'w', job: 'eval-A' })
  await launcher.launch({ name: 'w', job: 'eval-A' })
  const job = objects.get('/apis/batch/v1/namespaces/ns/jobs/w')
  assert.deepEqual(job.metadata.ownerReferences, [OWNER])
  const pod = job.spec.template.spec
  assert.deepEqual(pod.containers[0].args, ['evaluate-job', 'eval-A'])
  assert.equal(pod.containers[0].image, 'reg/services:1')
  assert.deepEqual(pod.containers[0].env, OWN.containers[0]?.env)
  assert.ok(!('livenessProbe' in pod.containers[0]) && !('nodeName' in pod))
  assert.deepEqual(pod.volumes, [{ name: 'data', emptyDir: {} }])
  assert.deepEqual(pod.containers[0].volumeMounts, [{ name: 'data', mountPath: '/data' }])
  assert.deepEqual([pod.serviceAccountName, pod.restartPolicy, job.spec.backoffLimit], ['runner', 'Never', 0])
  assert.equal(await launcher.state('w'), 'running')
  job.status = { conditions: [{ type: 'Failed', status: 'True' }] }
  assert.equal(await launcher.state('w'), 'ended')
  await launcher.remove('w')
  await launcher.remove('w')
  assert.equal(await launcher.state('w'), 'absent')
})

test('a Workflow is submitted through the Argo server with the token, wrapped as it wants it', async () => {
  const { api } = fakeApi()
  const calls: { method: string; url: string; body: Body; authorization: string | null }[] = []
  let phase: string | undefined
  const fetch: typeof globalThis.fetch = async (url, init) => {
    const body = init?.body ? JSON.parse(String(init.body)) : undefined
    const authorization = new Headers(init?.headers).get('authorization')
    calls.push({ method: init?.method ?? '', url: String(url), body, authorization })
    if (init?.method === 'PUT' && phase === 'Error')
      return Response.json({ code: 13, message: 'cannot shutdown a completed workflow' }, { status: 500 })
    if (init?.method === 'GET' && !phase) return Response.json({ code: 5 }, { status: 404 })
    return Response.json({ status: { phase } })
  }
  const on = { podName: 'me', token: async () => 'tok', fetch, command: ['node', 'main.ts'] }
  const launcher = createArgoLauncher(api, { ARGO_HOST: 'http://argo:2746/' }, on)
  await launcher.launch({ name: 'w', job: 'eval-A' })
  const [{ url, authorization, body } = { url: '', authorization: '', body: {} }] = calls
  assert.deepEqual([url, authorization], ['http://argo:2746/api/v1/workflows/ns', 'Bearer tok'])
  const { spec, metadata } = body.workflow
  assert.deepEqual([metadata.name, spec.entrypoint, spec.serviceAccountName], ['w', 'evaluate', 'own'])
  const [{ container }] = spec.templates
  assert.deepEqual([container.command, container.args], [on.command, ['evaluate-job', 'eval-A']])
  assert.equal(spec.automountServiceAccountToken, true)
  assert.equal(spec.podPriorityClassName, 'high')
  // All that the spec of a Workflow may have of these, by Argo's own schema (4.1).
  for (const field of ['priorityClassName', 'enableServiceLinks', 'containers', 'nodeName'])
    assert.ok(!(field in spec), field)
  assert.ok(!('name' in spec.templates[0].container) && !('restartPolicy' in spec))
  assert.equal(await launcher.state('w'), 'absent')
  phase = 'Running'
  assert.equal(await launcher.state('w'), 'running')
  await launcher.stop('w')
  const { method, url: ended } = calls.at(-1) ?? { method: '', url: '' }
  assert.deepEqual([method, ended], ['PUT', 'http://argo:2746/api/v1/workflows/ns/w/terminate'])
  phase = 'Error'
  assert.equal(await launcher.state('w'), 'ended')
  // Argo answers 500 for one that has ended.
  await launcher.stop('w')
})

let db: Database
let h: Harness
let folder: string
const launched: { name: string; job: string }[] = []
/** Runs `evaluate-job` in this process; `fails` lets the pod end before it claims its job. */
let fails = false
/** The pod waits for a node. */
let waits = false
const running = new Map<string, 'running' | 'ended'>()
const stopped: string[] = []
/** What the cluster says to a launch. */
let refusal: string | undefined
const launcher: Launcher = {
  async launch({ name, job }) {
    if (refusal) throw new Error(refusal)
    launched.push({ name, job })
    if (waits) return void running.set(name, 'running')
    running.set(name, 'running')
    const dataDir = join(folder, name)
    await mkdir(dataDir, { recursive: true })
    const work = fails
      ? Promise.resolve()
      : evaluateJob({ ...h.context, dataDir }, job, new AbortController().signal)
    void work.then(() => running.set(name, 'ended'))
  },
  state: async (name) => running.get(name) ?? 'absent',
  stop: async (name) => void stopped.push(name),
  remove: async (name) => void running.delete(name),
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nemo-dispatch-'))
  db = await openMemoryDatabase()
  h = await startHarness(db, { launcher })
})
after(async () => {
  await h.close()
  await db.close()
  await rm(folder, { recursive: true, force: true })
})

const CONFIG = {
  type: 'custom',
  tasks: { t: { type: 'data', metrics: { m: { type: 'accuracy', params: { ground_truth: '{{a}}' } } } } },
}

test('a job runs in a workload of its own, begun once', async () => {
  fails = false
  const { job, result } = await h.run({
    target: { type: 'rows', rows: [{ a: 'x', output: 'x' }] },
    config: CONFIG,
  })
  assert.equal(job.status, 'completed')
  assert.equal(result.tasks.t.metrics.m.scores.accuracy.value, 1)
  assert.deepEqual(launched, [{ name: workloadName(job.id, 0), job: job.id }])
})

test('a job whose pod ends before it takes the job fails with a reason', async () => {
  fails = true
  const { job } = await h.run({ target: { type: 'rows', rows: [{ a: 'x', output: 'x' }] }, config: CONFIG })
  assert.equal(job.status, 'failed')
  assert.match(job.status_details.message, /ended before it took the job/)
})

test('a job that is cancelled while its pod waits has its workload stopped', async () => {
  waits = true
  const id = await h.createJob({ target: { type: 'rows', rows: [{ a: 'x', output: 'x' }] }, config: CONFIG })
  while (!running.has(workloadName(id, 0))) await sleep(10)
  const { body } = await h.call('POST', `/v1/evaluation/jobs/${id}/cancel`)
  assert.equal(body.status, 'cancelled')
  while (stopped.length === 0) await sleep(10)
  assert.deepEqual(stopped, [workloadName(id, 0)])
  waits = false
})

test('a job says what keeps it from a pod, and runs when that is over', async () => {
  fails = false
  refusal = 'the Argo server did not answer'
  const id = await h.createJob({ target: { type: 'rows', rows: [{ a: 'x', output: 'x' }] }, config: CONFIG })
  for (;;) {
    const { body } = await h.call('GET', `/v1/evaluation/jobs/${id}`)
    if (/waits for its pod: the Argo server did not answer/.test(body.status_details.message ?? '')) break
    await sleep(10)
  }
  refusal = undefined
  await h.waitFor(id, 'completed')
})
