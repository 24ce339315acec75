// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { silentLogger } from '../../telemetry/log.ts'
import type { Outcome } from '../types.ts'
import { createKubernetesApi, inCluster, type KubernetesApi, KubernetesError } from './api.ts'
import { createKubernetesExecutor, resourceName } from './executor.ts'

interface Job {
  metadata: Record<string, unknown>
  spec: Record<string, unknown>
  status?: Record<string, unknown>
}

/** The resources of a namespace, and the calls that were made. */
function fakeApi() {
  const jobs = new Map<string, Job>()
  const calls: string[] = []
  const answer = (method: string, path: string, body: Partial<Job> = {}): unknown => {
    calls.push(method)
    const name = path.split('/nemotrainingjobs/')[1] ?? ''
    if (method === 'POST') return jobs.set(String(body.metadata?.name), body as Job)
    const job = jobs.get(name)
    if (!job) throw new KubernetesError(404, 'not found')
    if (method === 'PATCH') Object.assign(job.spec, body.spec)
    if (method === 'DELETE') jobs.delete(name)
    return job
  }
  const api: KubernetesApi = {
    namespace: 'ns',
    call: async <T>(method: string, path: string, body?: unknown) =>
      answer(method, path, body as Partial<Job>) as T,
  }
  return { api, jobs, calls }
}

const ref = { id: 'cust-Ab', workdir: '/nowhere', limits: { memoryBytes: 0 } }
const spec = { ...ref, command: [], env: {} }
const executorOf = (api: KubernetesApi) =>
  createKubernetesExecutor({
    api,
    log: silentLogger(),
    pollMs: 5,
    cancelWaitMs: 30,
    template: () => ({ image: 'trainer' }),
    owner: async () => ({ kind: 'Service', name: 'c', uid: 'u' }),
  })

test('names of resources are lower case and differ where ids do', () => {
  assert.match(resourceName('cust-FarcM8gwhL1XFDXQ57qGLL'), /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/)
  assert.notEqual(resourceName('cust-Ab'), resourceName('cust-aB'))
  assert.ok(resourceName('x'.repeat(200)).length <= 55)
})

test('what the operator says of a job is how its execution ended', async () => {
  const cases: [Record<string, unknown>, Outcome][] = [
    [{ state: 'Completed' }, { kind: 'exited', code: 0 }],
    [
      { state: 'Failed', exitCode: 137 },
      { kind: 'exited', code: 137 },
    ],
    [
      { state: 'Failed', reason: 'OOMKilled', exitCode: 137, memoryLimitBytes: 5 },
      { kind: 'memory', usedBytes: 5, limitBytes: 5 },
    ],
    [
      { state: 'Failed', reason: 'DeadlineExceeded', message: 'too long' },
      { kind: 'refused', reason: 'too long' },
    ],
    [{ state: 'Cancelled' }, { kind: 'exited', code: 143 }],
  ]
  for (const [status, outcome] of cases) {
    const { api, jobs } = fakeApi()
    const execution = await executorOf(api).start(spec)
    const [job] = jobs.values()
    assert.deepEqual([job?.spec.jobId, job?.spec.image], ['cust-Ab', 'trainer'])
    assert.deepEqual(job?.metadata.ownerReferences, [{ kind: 'Service', name: 'c', uid: 'u' }])
    if (job) job.status = { ...status, attempt: 1 }
    assert.deepEqual(await execution.outcome(), outcome)
  }
})

test('a resource that is deleted is lost; started again it is a new attempt, whose old status does not count', async () => {
  const { api, jobs } = fakeApi()
  const executor = executorOf(api)
  const first = await executor.start(spec)
  const [job] = jobs.values()
  assert.ok(job)
  job.status = { state: 'Failed', attempt: 1, exitCode: 137 }
  assert.deepEqual(await first.outcome(), { kind: 'exited', code: 137 })
  const second = await executor.start(spec)
  assert.equal(job.spec.attempt, 2)
  const outcome = second.outcome()
  assert.equal(
    await Promise.race([outcome, new Promise((resolve) => setTimeout(resolve, 40, 'waits'))]),
    'waits',
  )
  jobs.clear()
  assert.deepEqual(await outcome, { kind: 'lost' })
  assert.equal(await executor.attach(ref), undefined)
})

test('a cancellation that no operator carries out deletes the resource; one that has ended stays', async () => {
  const { api, jobs, calls } = fakeApi()
  const executor = executorOf(api)
  await executor.start(spec)
  await executor.clear(ref)
  assert.equal(jobs.size, 0)
  assert.ok(calls.includes('PATCH') && calls.includes('DELETE'))
  await executor.start(spec)
  for (const job of jobs.values()) job.status = { state: 'Completed', attempt: 1 }
  await executor.clear(ref)
  assert.equal(jobs.size, 1)
})

test('the client sends the token and merge patches, and tells what the API server said', async () => {
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.headers.authorization} ${request.headers['content-type'] ?? ''}`)
    const body = request.url === '/ok' ? { a: 1 } : { message: 'jobs is forbidden: exceeded quota' }
    response.writeHead(request.url === '/ok' ? 200 : 403).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const api = createKubernetesApi({ url, namespace: 'ns', token: async () => 't' })
  assert.deepEqual(await api.call('PATCH', '/ok', {}), { a: 1 })
  await assert.rejects(api.call('GET', '/no'), { status: 403, message: /exceeded quota/ })
  assert.deepEqual(seen, ['PATCH Bearer t application/merge-patch+json', 'GET Bearer t '])
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await assert.rejects(api.call('GET', '/ok'), { status: 0, message: /was not reached/ })
  await assert.rejects(inCluster({}), /does not run in a pod/)
})
