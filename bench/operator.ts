// SPDX-License-Identifier: Apache-2.0
// The training operator on a real API server: 1,000 NemoTrainingJobs at once, then changes one by one.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Store } from '@open-nemo/operator/framework/cache.ts'
import { KubeClient } from '@open-nemo/operator/framework/client.ts'
import { loadConnection } from '@open-nemo/operator/framework/connection.ts'
import { Reflector, WATCH_TIMES } from '@open-nemo/operator/framework/reflector.ts'
import { Resources } from '@open-nemo/operator/framework/resources.ts'
import type { KubeObject } from '@open-nemo/operator/framework/types.ts'
import { silentLogger } from '@open-nemo/runtime/telemetry/log.ts'
import { startControlPlane } from '../packages/cli/src/lab/index.ts'
import { unpackServices } from './image.ts'
import { type Bench, freePorts, ROOT, type Row, until200, withFolder } from './lib.ts'

const JOBS = 1_000
const CHANGES = 200
const IDLE_MS = 30_000
const QUIET_MS = 4_000
const NS = 'default'
const API = '/apis/nvidia.com/v1alpha1/namespaces/default/nemotrainingjobs'

interface Watched {
  store: Store
  /** Resolves when the check holds; it is asked at each change. */
  until(check: () => boolean): Promise<void>
  stop(): void
}

/** Follows the objects of a kind as the operator does. */
function follow(client: KubeClient, apiVersion: string, kind: string): Watched {
  const resource = new Resources(client).find(apiVersion, kind)
  if (!resource) throw new Error(`no resource for ${kind}`)
  const store = new Store()
  const waiting = new Set<() => void>()
  store.onChange = () => {
    for (const look of waiting) look()
  }
  const reflector = new Reflector({
    client,
    resource,
    namespace: NS,
    store,
    times: WATCH_TIMES,
    log: silentLogger(),
    optional: false,
    onRestart: () => undefined,
  })
  void reflector.run()
  return {
    store,
    stop: () => reflector.stop(),
    until: (check) =>
      new Promise((resolve) => {
        const look = () => {
          if (!check()) return
          waiting.delete(look)
          resolve()
        }
        waiting.add(look)
        look()
      }),
  }
}

const statusOf = (o: KubeObject | undefined) =>
  (o?.status ?? {}) as { state?: string; observedGeneration?: number }

/** What the chart sets for the memory of an operator's process. */
async function chartEnv(): Promise<Record<string, string>> {
  const text = await readFile(join(ROOT, 'deploy/nemo-instances/templates/operators.yaml'), 'utf8')
  const found = [...text.matchAll(/- name: (NODE_OPTIONS|MALLOC_\w+)\n +value: "?([^"\n]+)"?\n/g)]
  if (found.length < 4) throw new Error('the chart sets less for the memory of operators than this knows of')
  return Object.fromEntries(found.map(([, name, value]) => [name, value]))
}

/** The operator as its pod runs it: the sources of the image, its start, and what the chart adds to the environment. */
async function startProcess(
  kubeconfig: string,
  start: string[],
): Promise<{ child: ChildProcess; pid: number; url: string }> {
  const [port = 0] = await freePorts(1)
  const env = {
    PATH: process.env.PATH,
    HOME: '/tmp',
    NODE_ENV: 'production',
    KUBECONFIG: kubeconfig,
    POD_NAMESPACE: NS,
    NEMO_OPERATOR_PORT: String(port),
    LOG_LEVEL: 'warn',
    ...(await chartEnv()),
  }
  const child = spawn(process.execPath, [...start, 'operator', 'training'], {
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const url = `http://127.0.0.1:${port}`
  await until200(`${url}/readyz`, 30_000)
  return { child, pid: child.pid ?? 0, url }
}

/** Resident memory at its highest since the process started. */
async function peakMb(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/VmHWM:\s+(\d+) kB/.exec(text)?.[1] ?? Number.NaN) / 1e3)
}

/** Writes so far but those that renew the Lease, the only ones by PUT. */
async function writes(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const counts = [
    ...text.matchAll(/open_nemo_api_requests_total\{method="(POST|PATCH|DELETE)",code="\d+"\} (\d+)/g),
  ]
  return counts.reduce((sum, [, , n]) => sum + Number(n), 0)
}

/** Waits until nothing has been written for a while: the Job controller makes the pods at its own pace. */
async function settled(url: string): Promise<void> {
  for (let before = -1, now = 0; before !== now; ) {
    before = await writes(url)
    await sleep(QUIET_MS)
    now = await writes(url)
  }
}

const job = (i: number) => ({
  apiVersion: 'nvidia.com/v1alpha1',
  kind: 'NemoTrainingJob',
  metadata: { name: `job-${i}` },
  spec: { jobId: `job-${i}`, callbackURL: 'http://customizer:9009' },
})

async function measure(kubeconfig: string, start: string[]): Promise<Row[]> {
  const client = new KubeClient(await loadConnection({ KUBECONFIG: kubeconfig }))
  const token = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'nemo-internal-token' } }
  const data = { token: Buffer.from('a token of the bench').toString('base64') }
  await client.request({ method: 'POST', path: `/api/v1/namespaces/${NS}/secrets`, body: { ...token, data } })
  const { child, pid, url } = await startProcess(kubeconfig, start)
  const resources = follow(client, 'nvidia.com/v1alpha1', 'NemoTrainingJob')
  const jobs = follow(client, 'batch/v1', 'Job')
  try {
    await sleep(3_000)
    const begun = performance.now()
    const creating = Array.from({ length: 8 }, async (_, worker) => {
      for (let i = worker; i < JOBS; i += 8) await client.request({ method: 'POST', path: API, body: job(i) })
    })
    await Promise.all(creating)
    console.log(`created in ${((performance.now() - begun) / 1000).toFixed(1)} s`)
    const reported = () => resources.store.list(NS).filter((r) => statusOf(r).state).length === JOBS
    await Promise.all([jobs.until(() => jobs.store.list(NS).length >= JOBS), resources.until(reported)])
    const seconds = (performance.now() - begun) / 1000
    console.log(`${JOBS} Jobs and their states in ${seconds.toFixed(1)} s`)
    await settled(url)
    const idleFrom = await writes(url)
    await sleep(IDLE_MS)
    const idle = (await writes(url)) - idleFrom
    const p99 = await eventToStatus(client, resources)
    return [
      { name: 'operator.converge_per_s', value: Math.round(JOBS / seconds), unit: 'objects/s', target: 60 },
      { name: 'operator.event_to_status_p99_ms', value: Math.round(p99), unit: 'ms', target: 250 },
      { name: 'operator.rss_mb', value: await peakMb(pid), unit: 'MB', target: 120 },
      { name: 'operator.idle_writes', value: idle, unit: `in ${IDLE_MS / 1000} s`, target: 0 },
    ]
  } finally {
    resources.stop()
    jobs.stop()
    client.close()
    child.kill('SIGTERM')
    await once(child, 'exit')
  }
}

/** 99th percentile of the time from the answer to a change until the status is about it. */
async function eventToStatus(client: KubeClient, resources: Watched): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < CHANGES; i++) {
    const begun = performance.now()
    const changed: KubeObject = await client.request({
      method: 'PATCH',
      path: `${API}/job-${i}`,
      contentType: 'application/merge-patch+json',
      body: { spec: { suspend: true } },
    })
    const generation = changed.metadata.generation ?? 0
    await resources.until(() => {
      const seen = resources.store.get(NS, `job-${i}`)
      return (statusOf(seen).observedGeneration ?? 0) >= generation
    })
    times.push(performance.now() - begun)
  }
  return times.toSorted((a, b) => a - b)[Math.floor(CHANGES * 0.99)] ?? Number.NaN
}

export const bench: Bench = {
  run: () =>
    withFolder(async (dir) => {
      const plane = await startControlPlane({ dir, onProgress: ({ message }) => console.log(message) })
      try {
        const crds = join(ROOT, 'deploy/nemo-instances/crds')
        await plane.kubectl(['apply', '--server-side', '-f', crds])
        await plane.kubectl(['wait', '--for=condition=Established', '--timeout=30s', '-f', crds])
        return await measure(plane.kubeconfig, await unpackServices(join(dir, 'image')))
      } finally {
        await plane.stop()
      }
    }),
}
