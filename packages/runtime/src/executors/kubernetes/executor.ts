// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Logger } from '../../telemetry/log.ts'
import { tailEvents } from '../events.ts'
import { readTail } from '../read-tail.ts'
import type { Execution, Executor, Outcome } from '../types.ts'
import { type KubernetesApi, KubernetesError } from './api.ts'

export interface KubernetesExecutorOptions {
  api: KubernetesApi
  /** The part of the spec that every NemoTrainingJob has: image, resources, volumes, scheduling. */
  template: () => Promise<Record<string, unknown>> | Record<string, unknown>
  /** The resource whose end ends the jobs; asked when one is made. */
  owner?: () => Promise<Record<string, unknown> | undefined>
  log: Logger
  pollMs?: number
  /** How long the operator has to end a pod before its resource is deleted. */
  cancelWaitMs?: number
}

/** A NemoTrainingJob as far as this side reads it. */
interface TrainingJob {
  metadata?: { uid?: string; deletionTimestamp?: string }
  spec?: { jobId?: string; attempt?: number; cancel?: boolean; resources?: unknown }
  status?: {
    state?: string
    attempt?: number
    reason?: string
    message?: string
    exitCode?: number
    memoryLimitBytes?: number
  }
}

const API = 'nvidia.com/v1alpha1'
const KIND = 'NemoTrainingJob'
const ENDED = ['Completed', 'Failed', 'Cancelled']
const EVENTS_FILE = 'events.jsonl'
const LOG_FILE = 'trainer.log'
const CANCEL_WAIT_MS = 60_000

/** The name of an execution's resource: ids may have capitals, names of resources may not. */
export function resourceName(id: string): string {
  const hash = createHash('sha256').update(id).digest('hex').slice(0, 6)
  const readable = id.toLowerCase().replaceAll(/[^a-z0-9-]/g, '-')
  return `${readable.slice(0, 48).replaceAll(/^-+|-+$/g, '')}-${hash}`
}

/**
 * Runs executions as NemoTrainingJobs, which the training operator turns into pods. The pod takes its input from the
 * customizer's internal port and brings events, log and output to the work folder there, so that a caller finds the
 * same files as with processes of this machine.
 */
export function createKubernetesExecutor(options: KubernetesExecutorOptions): Executor {
  const { api, log } = options
  const collection = `/apis/${API}/namespaces/${api.namespace}/nemotrainingjobs`
  const path = (id: string) => `${collection}/${resourceName(id)}`
  const { pollMs = 2000, cancelWaitMs = CANCEL_WAIT_MS } = options

  async function find(id: string): Promise<TrainingJob | undefined> {
    try {
      return await api.call<TrainingJob>('GET', path(id))
    } catch (err) {
      if (err instanceof KubernetesError && err.status === 404) return undefined
      throw err
    }
  }

  /** Like `find`, for waits: an API server that is away or busy is asked again. */
  async function look(id: string): Promise<TrainingJob | undefined | 'unknown'> {
    try {
      return await find(id)
    } catch (err) {
      log.warn({ err, job: id }, 'the training job cannot be read')
      return 'unknown'
    }
  }

  async function create(id: string): Promise<void> {
    const owner = await options.owner?.()
    await api.call('POST', collection, {
      apiVersion: API,
      kind: KIND,
      metadata: {
        name: resourceName(id),
        labels: { 'app.kubernetes.io/managed-by': 'open-nemo', 'app.kubernetes.io/component': 'training' },
        annotations: { 'open-nemo.io/job': id },
        ...(owner ? { ownerReferences: [owner] } : {}),
      },
      spec: { jobId: id, attempt: 1, ...(await options.template()) },
    })
  }

  function execution(ref: { id: string; workdir: string }, attempt: number): Execution {
    const ended = new AbortController()
    const watching = watch(ref.id, attempt).finally(() => ended.abort())
    watching.catch(() => undefined)
    return {
      id: ref.id,
      outcome: () => watching,
      events: (offset, signal) =>
        tailEvents({
          path: join(ref.workdir, EVENTS_FILE),
          offset,
          isOver: () => ended.signal.aborted,
          pollMs: Math.min(pollMs, 500),
          ...(signal ? { signal } : {}),
        }),
      waiting: (tell, signal) => waiting(ref.id, tell, AbortSignal.any([signal, ended.signal])),
      async stop() {
        await cancel(ref.id)
      },
    }
  }

  async function watch(id: string, attempt: number): Promise<Outcome> {
    for (;;) {
      const job = await look(id)
      if (job === undefined) return { kind: 'lost' }
      if (job !== 'unknown') {
        if ((job.spec?.attempt ?? 1) > attempt) return { kind: 'lost' }
        const outcome = outcomeOf(job, attempt)
        if (outcome) return outcome
      }
      // A run that was given up, or a process that ends, does not wait for the rest of it.
      await sleep(pollMs, undefined, { ref: false })
    }
  }

  async function waiting(id: string, tell: (reason: string) => void, signal: AbortSignal): Promise<void> {
    for (let told = ''; !signal.aborted; ) {
      const job = await look(id)
      const message = job && job !== 'unknown' ? reasonOf(job) : ''
      if (message && message !== told && !signal.aborted) tell(message)
      told = message || told
      await sleep(pollMs, undefined, { signal }).catch(() => undefined)
    }
  }

  /** Asks for the end and waits until the operator says so; when nobody does, the resource is deleted. */
  async function cancel(id: string): Promise<void> {
    const job = await find(id)
    if (!job || isEnded(job)) return
    await ignoreMissing(api.call('PATCH', path(id), { spec: { cancel: true } }))
    for (const end = Date.now() + cancelWaitMs; Date.now() < end; await sleep(Math.min(pollMs, 500))) {
      const now = await look(id)
      if (now === undefined || (now !== 'unknown' && isEnded(now))) return
    }
    log.warn({ job: id }, 'no operator answers: the training job is deleted')
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Foreground' }
    await ignoreMissing(api.call('DELETE', path(id), body))
  }

  return {
    isApart: true,
    async attach(ref) {
      const job = await find(ref.id)
      if (!job || job.metadata?.deletionTimestamp) return undefined
      return execution(ref, job.spec?.attempt ?? 1)
    },
    async start(spec) {
      let job = await find(spec.id)
      // One that is being deleted frees its name when its pods are gone.
      while (job?.metadata?.deletionTimestamp) {
        await sleep(pollMs)
        job = await find(spec.id)
      }
      if (!job) {
        await create(spec.id)
        return execution(spec, 1)
      }
      const attempt = (job.spec?.attempt ?? 1) + 1
      // What scheduling and images are now, not what they were; the workspace stays.
      await api.call('PATCH', path(spec.id), {
        spec: { ...(await options.template()), attempt, cancel: false },
      })
      return execution(spec, attempt)
    },
    async clear({ id, workdir }) {
      await cancel(id)
      await rm(join(workdir, 'output.upload'), { recursive: true, force: true })
    },
    log: ({ workdir }, maxBytes) => readTail(join(workdir, LOG_FILE), maxBytes),
  }
}

/** What a job that has not told anything yet is at. */
function reasonOf({ status }: TrainingJob): string {
  if (status?.state === 'Running') return 'the pod runs and loads the model'
  return status?.state === 'Pending' ? (status.message ?? '') : ''
}

function isEnded(job: TrainingJob): boolean {
  const { status, spec } = job
  return ENDED.includes(status?.state ?? '') && (status?.attempt ?? 1) === (spec?.attempt ?? 1)
}

function outcomeOf(job: TrainingJob, attempt: number): Outcome | undefined {
  const { status } = job
  if (!status || (status.attempt ?? 1) !== attempt) return undefined
  if (status.state === 'Completed') return { kind: 'exited', code: 0 }
  if (status.state === 'Cancelled') return { kind: 'exited', code: 143 }
  if (status.state !== 'Failed') return undefined
  if (status.reason === 'OOMKilled') {
    const limit = status.memoryLimitBytes ?? 0
    return { kind: 'memory', usedBytes: limit, limitBytes: limit }
  }
  if (status.exitCode !== undefined) return { kind: 'exited', code: status.exitCode }
  return { kind: 'refused', reason: status.message ?? status.reason ?? 'the cluster gave no reason' }
}

async function ignoreMissing(call: Promise<unknown>): Promise<void> {
  try {
    await call
  } catch (err) {
    if (!(err instanceof KubernetesError && err.status === 404)) throw err
  }
}
