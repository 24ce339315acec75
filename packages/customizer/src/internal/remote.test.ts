// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Database, openMemoryDatabase, silentLogger } from '@open-nemo/runtime'
import {
  createKubernetesApi,
  createKubernetesExecutor,
  jobToken,
} from '@open-nemo/runtime/executors/index.ts'
import { createRemoteLauncher } from '../runner/launcher.ts'
import { type FakeCluster, startFakeCluster, TOKEN } from '../testing/fake-cluster.ts'
import { type Body, type Harness, startHarness } from '../testing/harness.ts'

let db: Database
let cluster: FakeCluster
let harness: Harness
let port: number
before(async () => {
  db = await openMemoryDatabase()
})
beforeEach(async () => {
  cluster = await startFakeCluster()
  port = await freePort()
  const api = createKubernetesApi({ url: cluster.url, namespace: 'ns', token: async () => 'sa' })
  harness = await startHarness(db, {
    settings: { NEMO_INTERNAL_TOKEN: TOKEN, NEMO_INTERNAL_PORT: String(port) },
    launcher: createRemoteLauncher(),
    executor: createKubernetesExecutor({
      api,
      log: silentLogger(),
      pollMs: 50,
      template: () => ({ callbackURL: `http://127.0.0.1:${port}`, image: 'trainer' }),
    }),
  })
})
afterEach(async () => {
  await harness.close()
  await cluster.close()
  await db.exec('DELETE FROM customizer.jobs')
})
after(() => db.close())

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}

/** Waits until the job has made `steps` steps. */
async function untilStep(id: string, steps: number): Promise<void> {
  for (const end = Date.now() + 15_000; ; await sleep(20)) {
    const { body } = await harness.call('GET', `/v1/customization/jobs/${id}/status`)
    if (body.steps_completed >= steps) return
    if (Date.now() > end) throw new Error(`${body.status} at ${body.steps_completed}: ${cluster.podLog}`)
  }
}

async function assertWhole(id: string): Promise<Body> {
  const job = await harness.waitFor(id, 'completed', 'failed')
  assert.equal(job.status, 'completed', JSON.stringify(job.status_details) + cluster.podLog)
  const { body } = await harness.call('GET', `/v1/customization/jobs/${id}/status`)
  assert.equal(body.steps_completed, body.steps_per_epoch * 2)
  const steps = body.metrics.metrics.train_loss.map((m: Body) => m.step)
  assert.deepEqual(steps, [1, 3, 5, 7], 'every point is there once')
  const files = harness.platform.repos.get('model/demo/tuned')?.files ?? {}
  assert.equal(files['adapter_model.safetensors'], 'weights')
  return job
}

const request = { output_model: 'demo/tuned@v1' }

test('a pod trains: input, events, log and output cross the internal port', async () => {
  const id = await harness.createJob(request)
  await assertWhole(id)
  assert.equal(cluster.starts, 1)
  const { body } = await harness.call('GET', `/v1/customization/jobs/${id}/container-logs`)
  assert.match(JSON.stringify(body), /fake trainer of/)
  const [job] = cluster.jobs.values()
  assert.match(job?.metadata.name ?? '', /^cust-[a-z0-9-]+$/)
  assert.deepEqual([job?.spec.jobId, job?.status?.state], [id, 'Completed'])
})

test('a killed pod goes on in its workspace, and one with a new workspace begins anew', async () => {
  for (const keeps of [true, false]) {
    cluster.keepsWorkspace = keeps
    cluster.env = { FAKE_STEP_MS: '150' }
    const starts = cluster.starts
    const id = await harness.createJob({ output_model: `demo/tuned@${keeps}` })
    await untilStep(id, 3)
    cluster.kill()
    await assertWhole(id)
    assert.equal(cluster.starts, starts + 2)
  }
})

test('the customizer restarts while a pod trains: it trains on, and is listened to again', async () => {
  cluster.env = { FAKE_STEP_MS: '200' }
  const id = await harness.createJob(request)
  await untilStep(id, 2)
  await harness.restart({}, () => sleep(400))
  await assertWhole(id)
  assert.equal(cluster.starts, 1, 'the same pod')
})

test('a customizer with an empty disk is told everything again', async () => {
  cluster.env = { FAKE_STEP_MS: '200' }
  const id = await harness.createJob(request)
  await untilStep(id, 3)
  await harness.restart({}, () => rm(harness.dataDir, { recursive: true }))
  await assertWhole(id)
  assert.equal(cluster.starts, 1, 'the same pod')
})

test('an empty disk after the pod has ended: the next pod finds its work done and sends it', async () => {
  harness.platform.outage = undefined
  const id = await harness.createJob(request)
  await harness.waitFor(id, 'completed')
  await db.exec(`UPDATE customizer.jobs SET status = 'running', step = 'train'`)
  harness.platform.repos.delete('model/demo/tuned')
  harness.platform.entities.delete('models/demo/tuned@v1')
  await harness.restart({}, () => rm(harness.dataDir, { recursive: true }))
  await assertWhole(id)
  assert.equal(cluster.starts, 2)
})

test("a failure of the trainer is the job's, with its reason, and is not tried again", async () => {
  cluster.env = { FAKE_FAIL: 'row 3 is odd' }
  const id = await harness.createJob(request)
  const job = await harness.waitFor(id, 'failed')
  assert.match(JSON.stringify(job.status_details), /row 3 is odd/)
  assert.equal(cluster.starts, 1)
})

test('cancel ends the pod, which is refused from then on', async () => {
  cluster.env = { FAKE_STEP_MS: '2000' }
  const id = await harness.createJob(request)
  await harness.waitFor(id, 'running')
  await harness.call('POST', `/v1/customization/jobs/${id}/cancel`)
  await harness.waitFor(id, 'cancelled')
  assert.equal(cluster.isRunning(), false)
  const answer = await fetch(`http://127.0.0.1:${port}/internal/jobs/${id}/streams/events.jsonl`, {
    headers: { authorization: `Bearer ${jobToken(TOKEN, id)}` },
  })
  assert.equal(answer.status, 410)
})

test('the internal port: other tokens, other paths, gaps and half lines are refused', async () => {
  cluster.env = { FAKE_STEP_MS: '3000' }
  const id = await harness.createJob(request)
  await harness.waitFor(id, 'running')
  const call = (path: string, init: RequestInit = {}, token = jobToken(TOKEN, id)) =>
    fetch(`http://127.0.0.1:${port}/internal/jobs/${id}/${path}`, {
      ...init,
      headers: { authorization: `Bearer ${token}`, ...init.headers },
    })
  const status = async (answer: Promise<Response>) => (await answer).status
  assert.equal(await status(call('workdir/job.json', {}, jobToken(TOKEN, 'other'))), 401)
  assert.equal(await status(call('workdir/job.json')), 200)
  assert.equal(await status(call('workdir/trainer.log')), 404)
  assert.equal(await status(call('workdir/data/%2e%2e%2f%2e%2e%2fowner')), 400)
  assert.equal(await status(call('streams/owner')), 404)
  const part = await call('workdir/data/training/a.jsonl', { headers: { range: 'bytes=2-7' } })
  assert.deepEqual([part.status, await part.text()], [206, 'prompt'])
  const post = (path: string, body: string) => call(path, { method: 'POST', body })
  assert.equal(await status(post('streams/events.jsonl?offset=9999', '{}\n')), 409)
  assert.equal(await status(post('streams/events.jsonl?offset=0', '{"half"')), 400)
  assert.equal(await status(call('output/..%2fx?offset=0', { method: 'PUT', body: 'x' })), 400)
  const put = (offset: number, body: string) =>
    call(`output/adapter_config.json?offset=${offset}`, { method: 'PUT', body })
  assert.equal(await status(put(0, '{')), 200)
  assert.equal(await status(put(0, '{')), 409)
  const sum = 'a'.repeat(64)
  const files = [{ path: 'adapter_config.json', size: 1, sha256: sum }]
  assert.equal(await status(post('output', JSON.stringify({ files }))), 409)
})

test('the settings of training pods come from the section training of config.yaml', async () => {
  const { jobTemplate, trainingSection } = await import('../kubernetes.ts')
  const dir = await mkdtemp(join(tmpdir(), 'nemo-config-'))
  await writeFile(join(dir, 'config.yaml'), '')
  const training = trainingSection.parse({
    image: 'r/trainer:1',
    pvc: { storageClass: '', volumeAccessMode: 'ReadWriteOnce', size: '5Gi' },
    workspace_dir: '/pvc/workspace',
    training_timeout: 3600,
    scheduler: { type: 'volcano', queue: 'default' },
  })
  assert.deepEqual(jobTemplate(training, { url: 'http://c.ns.svc:9009', customizer: 'c' }), {
    callbackURL: 'http://c.ns.svc:9009',
    serviceAccountName: 'c',
    image: 'r/trainer:1',
    scheduler: { type: 'volcano', queue: 'default' },
    workspace: { accessMode: 'ReadWriteOnce', size: '5Gi', mountPath: '/pvc/workspace' },
    activeDeadlineSeconds: 3600,
  })
  await rm(dir, { recursive: true })
})
