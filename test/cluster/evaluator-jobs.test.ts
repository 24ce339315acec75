// SPDX-License-Identifier: Apache-2.0
// Evaluation jobs in pods of their own, on an API server: what the evaluator makes with its own account's token and the
// Role that the operator gives it. No pod runs there; the Argo server is stood in for by what it does for a caller.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createArgoLauncher, createKubernetesLauncher } from '@open-nemo/evaluator/dispatch/launchers.ts'
import type { KubeObject } from '@open-nemo/operator/framework/types.ts'
import { CLUSTER, resourceOf, SAMPLES } from '@open-nemo/operator/nemo-service/samples.ts'
import { fakeWorld } from '@open-nemo/operator/pod-basics/testing.ts'
import { createKubernetesApi, KubernetesError } from '@open-nemo/runtime/executors/index.ts'
import { type ControlPlane, startControlPlane } from '../../packages/cli/src/lab/index.ts'
import { until } from './support/until.ts'

const NS = 'evaluation'
const COMMAND = ['/usr/local/bin/node', '/opt/open-nemo/packages/cli/src/main.ts']
const PODS = [{ name: 'NEMO_EXECUTOR', value: 'kubernetes' }]

describe('evaluation jobs in pods of their own', {
  skip: process.platform === 'linux' ? false : 'needs Linux',
}, () => {
  let dir = ''
  let plane: ControlPlane

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nemo-evaluation-'))
    plane = await startControlPlane({
      dir,
      admission: ['OwnerReferencesPermissionEnforcement'],
      onProgress: ({ message }) => console.log(message),
    })
    const crds = 'deploy/nemo-infra/charts/argocrds/crds'
    await plane.kubectl(['apply', '--server-side', '-f', crds])
    await plane.kubectl(['create', 'namespace', NS])
    await plane.kubectl(['label', 'namespace', NS, 'pod-security.kubernetes.io/enforce=restricted'])
  })
  after(async () => {
    await plane?.stop()
    await rm(dir, { recursive: true, force: true })
  })

  const create = (object: object) =>
    plane.kubectl(['apply', '--server-side', '-n', NS, '-f', '-'], JSON.stringify(object))
  const get = async (...what: string[]) =>
    JSON.parse(await plane.kubectl(['get', ...what, '-n', NS, '-o', 'json']))

  /** Makes what the operator makes for an evaluator, with its pod, and gives the API as that pod has it. */
  async function evaluator(name: string, spec: object) {
    const sample = SAMPLES.find(({ kind }) => kind === 'NemoEvaluator')
    assert.ok(sample)
    const resource = resourceOf(sample, { ...sample.small, env: PODS, ...spec })
    resource.metadata.name = name
    const plan = await sample.controller.plan(resource, fakeWorld(CLUSTER, { defaults: {} }))
    for (const kind of ['ServiceAccount', 'Role', 'RoleBinding']) {
      const object = plan.apply.find((each) => each.kind === kind)
      assert.ok(object, kind)
      await create(object)
    }
    const deployment = plan.apply.find(({ kind }) => kind === 'Deployment') as KubeObject
    const { template } = deployment.spec as { template: { metadata: object; spec: object } }
    const metadata = { ...template.metadata, name: `${name}-0` }
    await create({ apiVersion: 'v1', kind: 'Pod', ...template, metadata })
    const token = (await plane.kubectl(['create', 'token', name, '-n', NS])).trim()
    const ca = await readFile(plane.authority.ca.cert, 'utf8')
    const api = createKubernetesApi({ url: plane.server, namespace: NS, token: async () => token, ca })
    return { api, token, ca, podName: `${name}-0` }
  }

  it('a batch Job gets its pod under Pod Security restricted, and its end is seen', async () => {
    const { api, podName } = await evaluator('by-jobs', {})
    const launcher = createKubernetesLauncher(api, {}, podName)
    assert.equal(await launcher.state('eval-a'), 'absent')
    await launcher.launch({ name: 'eval-a', job: 'eval-A' })
    await launcher.launch({ name: 'eval-a', job: 'eval-A' })
    assert.equal(await launcher.state('eval-a'), 'running')
    const pods = () => get('pods', '-l', 'job-name=eval-a')
    await until(async () => (await pods()).items.length === 1)
    const [pod] = (await pods()).items
    const own = await get('pod', podName)
    const [container] = pod.spec.containers
    assert.deepEqual(container.args, ['evaluate-job', 'eval-A'])
    for (const field of ['image', 'env', 'securityContext', 'resources'])
      assert.deepEqual(container[field], own.spec.containers[0][field], field)
    assert.equal(pod.spec.serviceAccountName, 'by-jobs')
    assert.equal(pod.spec.automountServiceAccountToken, false)
    const ended = JSON.stringify({ status: { phase: 'Failed' } })
    const name = pod.metadata.name
    await plane.kubectl(['patch', 'pod', name, '-n', NS, '--subresource=status', '--type=merge', '-p', ended])
    await until(async () => (await launcher.state('eval-a')) === 'ended')
    await launcher.remove('eval-a')
    await launcher.remove('eval-a')
    assert.equal(await launcher.state('eval-a'), 'absent')
    await until(async () => (await pods()).items.length === 0)
    await assert.rejects(api.call('GET', `/api/v1/namespaces/${NS}/secrets`), isForbidden)
    await assert.rejects(
      api.call('GET', `/apis/argoproj.io/v1alpha1/namespaces/${NS}/workflows/x`),
      isForbidden,
    )
  })

  it('a Workflow is made, stopped and removed with the rights of the caller', async () => {
    const argoWorkflows = { endpoint: 'http://argo:2746', serviceAccount: 'workflow' }
    const { api, podName, token, ca } = await evaluator('by-argo', { argoWorkflows })
    const env = { ARGO_HOST: argoWorkflows.endpoint, SERVICE_ACCOUNT: argoWorkflows.serviceAccount }
    const on = { podName, token: async () => token, fetch: argoServer(plane.server, ca), command: COMMAND }
    const launcher = createArgoLauncher(api, env, on)
    assert.equal(await launcher.state('eval-a'), 'absent')
    await launcher.launch({ name: 'eval-a', job: 'eval-A' })
    await launcher.launch({ name: 'eval-a', job: 'eval-A' })
    assert.equal(await launcher.state('eval-a'), 'running')
    const { spec } = await get('workflow', 'eval-a')
    assert.deepEqual(
      Object.keys(spec).filter((field) => !WORKFLOW_SPEC.includes(field)),
      [],
    )
    // Argo copies the step into the pod's container `main`.
    const [{ container }] = spec.templates
    const { serviceAccountName, securityContext, volumes } = spec
    const main = { name: 'main', ...container }
    const pod = { metadata: { name: 'of-argo' }, spec: { securityContext, volumes, containers: [main] } }
    await create({ apiVersion: 'v1', kind: 'Pod', ...pod })
    assert.deepEqual([serviceAccountName, container.command], ['workflow', COMMAND])
    await launcher.stop('eval-a')
    assert.equal((await get('workflow', 'eval-a')).spec.shutdown, 'Terminate')
    await launcher.remove('eval-a')
    await launcher.remove('eval-a')
    assert.equal(await launcher.state('eval-a'), 'absent')
    await assert.rejects(api.call('GET', `/apis/batch/v1/namespaces/${NS}/jobs/x`), isForbidden)
  })
})

const isForbidden = (err: unknown) => err instanceof KubernetesError && err.status === 403

/** Fields of a Workflow's spec in Argo's own schema (4.1), those of no use here left out. */
const WORKFLOW_SPEC = [
  ...['affinity', 'automountServiceAccountToken', 'entrypoint', 'imagePullSecrets', 'nodeSelector'],
  ...['podPriorityClassName', 'securityContext', 'serviceAccountName', 'templates', 'tolerations'],
  ...['ttlStrategy', 'volumes'],
]

/** What the Argo server in auth-mode client does with a request: the same on the API server, by the caller's token. */
function argoServer(server: string, ca: string): typeof globalThis.fetch {
  return async (url, init) => {
    const [, , , , namespace, name, action] = new URL(String(url)).pathname.split('/')
    const path = `/apis/argoproj.io/v1alpha1/namespaces/${namespace}/workflows${name ? `/${name}` : ''}`
    const { authorization = '' } = Object.fromEntries(new Headers(init?.headers))
    const given = init?.body ? JSON.parse(String(init.body)) : undefined
    const method = action === 'terminate' ? 'PATCH' : (init?.method ?? 'GET')
    const body = action === 'terminate' ? { spec: { shutdown: 'Terminate' } } : given?.workflow
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    const { promise, resolve, reject } = Promise.withResolvers<Response>()
    const sent = request(server + path, { method, ca, headers: { authorization, 'content-type': type } })
    sent.on('error', reject)
    sent.on('response', async (answer) => {
      const chunks: Buffer[] = []
      for await (const chunk of answer) chunks.push(chunk as Buffer)
      resolve(new Response(Buffer.concat(chunks), { status: answer.statusCode }))
    })
    sent.end(body && JSON.stringify(body))
    return promise
  }
}
