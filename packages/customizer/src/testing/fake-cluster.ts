// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { jobToken } from '@open-nemo/runtime/executors/index.ts'

const FAKE_TRAINER = fileURLToPath(new URL('./fake-trainer.ts', import.meta.url))
const TRAINER_SOURCE = fileURLToPath(new URL('../../../../trainer/src', import.meta.url))
export const TOKEN = 'a-token-for-tests-only'
const COLLECTION = '/apis/nvidia.com/v1alpha1/namespaces/ns/nemotrainingjobs'

interface Job {
  metadata: { name: string; uid: string; ownerReferences?: unknown[] }
  spec: { jobId: string; attempt: number; cancel?: boolean; callbackURL: string }
  status?: Record<string, unknown>
}

/** An API server for NemoTrainingJobs that runs `nemo_trainer.remote` as a process where a cluster makes a pod. */
export interface FakeCluster {
  url: string
  jobs: Map<string, Job>
  /** Pods that were started so far. */
  starts: number
  /** Kills the running pod as the kubelet's OOM killer would; `signal` SIGTERM is an eviction. */
  kill(signal?: NodeJS.Signals): void
  /** Whether pods keep their workspace, and what the trainer is told. */
  keepsWorkspace: boolean
  env: Record<string, string>
  podLog: string
  isRunning(): boolean
  close(): Promise<void>
}

export async function startFakeCluster(options: { maxRetries?: number } = {}): Promise<FakeCluster> {
  const { maxRetries = 3 } = options
  const dir = await mkdtemp(join(tmpdir(), 'nemo-cluster-'))
  const base = join(dir, 'models', 'smollm2', 'smollm2-135m-instruct')
  await mkdir(base, { recursive: true })
  await writeFile(join(base, 'config.json'), '{}')
  await writeFile(join(base, 'model.safetensors'), '')
  let child: ChildProcess | undefined

  const cluster: FakeCluster = {
    url: '',
    jobs: new Map(),
    starts: 0,
    keepsWorkspace: true,
    env: {},
    podLog: '',
    isRunning: () => child !== undefined,
    kill: (signal = 'SIGKILL') => child?.pid && process.kill(-child.pid, signal),
    async close() {
      cluster.jobs.clear()
      if (child?.pid) process.kill(-child.pid, 'SIGKILL')
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(dir, { recursive: true, force: true })
    },
  }

  async function runPod(job: Job, retries: number): Promise<void> {
    const { jobId, attempt, callbackURL } = job.spec
    cluster.starts += 1
    const workspace = join(dir, cluster.keepsWorkspace ? 'workspace' : `workspace-${cluster.starts}`)
    job.status = { state: 'Running', attempt }
    const pod = spawn('python3', ['-m', 'nemo_trainer.remote'], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        PYTHONPATH: TRAINER_SOURCE,
        PYTHONDONTWRITEBYTECODE: '1',
        NEMO_JOB_ID: jobId,
        NEMO_JOB_URL: `${callbackURL}/internal/jobs/${jobId}`,
        NEMO_JOB_TOKEN: jobToken(TOKEN, jobId),
        NEMO_WORKSPACE: workspace,
        NEMO_MODELS_PATH: join(dir, 'models'),
        NEMO_TRAINER_COMMAND: JSON.stringify([process.execPath, FAKE_TRAINER]),
        ...cluster.env,
      },
    })
    child = pod
    for (const out of [pod.stdout, pod.stderr]) {
      out?.on('data', (chunk) => {
        cluster.podLog += chunk
      })
    }
    const code = await new Promise<number>((resolve) => {
      pod.once('close', (exit, signal) => resolve(exit ?? (signal === 'SIGKILL' ? 137 : 143)))
    })
    child = undefined
    // A newer attempt has taken over, or the cluster is closed.
    if (cluster.jobs.get(job.metadata.name)?.spec.attempt !== attempt) return
    if (code === 0) job.status = { state: 'Completed', attempt }
    else if (job.spec.cancel) job.status = { state: 'Cancelled', attempt }
    else if (code === 1 || retries >= maxRetries) job.status = { state: 'Failed', attempt, exitCode: code }
    else await runPod(job, retries + 1)
  }

  function answer(method: string, url: string, body: Record<string, unknown>): [number, unknown] {
    if (method === 'POST' && url === COLLECTION) {
      const job = body as unknown as Job
      cluster.jobs.set(job.metadata.name, job)
      void runPod(job, 0)
      return [201, job]
    }
    if (url === '/api/v1/namespaces/ns/services/127') return [200, { metadata: { uid: 'service-uid' } }]
    const job = url.startsWith(`${COLLECTION}/`) && cluster.jobs.get(url.slice(COLLECTION.length + 1))
    if (!job) return [404, { message: `${url} not found` }]
    if (method === 'PATCH') patch(job, body.spec as Job['spec'])
    if (method === 'DELETE') cluster.jobs.delete(job.metadata.name)
    return [200, job]
  }

  function patch(job: Job, spec: Job['spec']): void {
    const isNew = spec.attempt > job.spec.attempt
    Object.assign(job.spec, spec)
    if (spec.cancel && child) cluster.kill('SIGTERM')
    else if (spec.cancel) job.status = { state: 'Cancelled', attempt: job.spec.attempt }
    if (isNew) void runPod(job, 0)
  }

  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request) text += chunk
    const [status, body] = answer(request.method ?? '', request.url ?? '', text ? JSON.parse(text) : {})
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cluster.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return cluster
}
