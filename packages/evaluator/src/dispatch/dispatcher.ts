// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { nowMicros } from '@open-nemo/contract'
import type { Database, Logger } from '@open-nemo/runtime'
import { ACTIVE, type Job, type JobTable } from '../jobs/types.ts'
import type { Runner } from '../runner/runner.ts'
import type { Launcher } from './types.ts'

export interface DispatcherOptions {
  db: Database
  jobs: JobTable
  launcher: Launcher
  log: Logger
  /** Workloads at one time. */
  limit: number
  idleMs?: number
}

/** A job whose pods ended so often without ending it is given up. */
const MAX_ATTEMPTS = 5

/** The name of the workload for one attempt at a job: ids have capital letters, which names in a cluster may not. */
export function workloadName(id: string, attempt: number): string {
  return `nemo-eval-${createHash('sha256').update(id).digest('hex').slice(0, 20)}-${attempt}`
}

/**
 * Lets jobs run in pods of their own. A pod claims its job in the database, as a worker in this process would; the
 * dispatcher only looks for jobs that nobody holds, and begins one workload for each attempt at them.
 */
export function createDispatcher(options: DispatcherOptions): Runner {
  const { jobs, launcher, log, idleMs = 2000 } = options
  const stopping = new AbortController()
  let wakeUp = new AbortController()

  async function look(): Promise<void> {
    const held = await jobs.count('status = ANY($1::text[]) AND owner IS NOT NULL AND lease_until >= now()', [
      ACTIVE,
    ])
    const free = await jobs.select(
      'status = ANY($1::text[]) AND (owner IS NULL OR lease_until < now())',
      [ACTIVE],
      'ORDER BY created_at, id',
    )
    let room = Math.max(0, options.limit - held)
    for (const job of free) {
      if (room === 0) return
      if (await dispatch(job)) room--
    }
  }

  /** Tells whether a workload of the job runs afterwards. */
  async function dispatch(job: Job): Promise<boolean> {
    if (job.isCancelRequested) return await end(job, 'cancelled', 'The job was cancelled.')
    if (job.attempt >= MAX_ATTEMPTS) {
      return await end(
        job,
        'failed',
        `its pods ended ${job.attempt} times before it did; their logs tell why`,
      )
    }
    const name = workloadName(job.id, job.attempt)
    const state = await launcher.state(name)
    if (state === 'running') return true
    if (state === 'ended') {
      return await end(job, 'failed', `its pod (${name}) ended before it took the job; its log tells why`)
    }
    try {
      await launcher.launch({ name, job: job.id })
    } catch (err) {
      await say(job, `The job waits for its pod: ${err instanceof Error ? err.message : err}`)
      throw err
    }
    log.info({ job: job.id, workload: name }, 'evaluation job dispatched')
    return true
  }

  /** What keeps a job waiting, for its user. */
  async function say(job: Job, message: string): Promise<void> {
    await jobs.update(job.id, (now) => {
      const isWaiting = now.attempt === job.attempt && now.owner === null && ACTIVE.includes(now.status)
      if (!isWaiting || now.state.message === message) return undefined
      return { state: { ...now.state, message } }
    })
  }

  /** Ends the workload of a job that was cancelled before its pod took it. */
  async function stopWaiting(id: string): Promise<void> {
    const job = await jobs.get(id)
    if (job?.status !== 'cancelled' || job.owner !== null) return
    await launcher.stop(workloadName(id, job.attempt))
  }

  /** Ends a job that nobody works on, unless a worker has taken it meanwhile. */
  async function end(job: Job, status: 'cancelled' | 'failed', message: string): Promise<boolean> {
    await jobs.update(job.id, (now) => {
      if (now.attempt !== job.attempt || !ACTIVE.includes(now.status)) return undefined
      const error = status === 'failed' ? message : null
      return { status, state: { ...now.state, message, error, ended_at: nowMicros() } }
    })
    await options.db.query('DELETE FROM evaluator.job_secrets WHERE job = $1', [job.id])
    return false
  }

  const done = (async () => {
    while (!stopping.signal.aborted) {
      await look().catch((err) => log.error({ err }, 'evaluation jobs could not be dispatched'))
      const signal = AbortSignal.any([wakeUp.signal, stopping.signal])
      await sleep(idleMs, undefined, { signal }).catch(() => undefined)
      if (wakeUp.signal.aborted) wakeUp = new AbortController()
    }
  })()
  return {
    done,
    wake: () => wakeUp.abort(),
    // A pod that has the job sees the cancellation at its next heartbeat.
    cancel(id) {
      wakeUp.abort()
      stopWaiting(id).catch((err) => log.warn({ err, job: id }, 'a workload of a cancelled job stays'))
    },
    async forget(id) {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        await launcher
          .remove(workloadName(id, attempt))
          .catch((err) => log.warn({ err, job: id }, 'a workload stays'))
      }
    },
    async stop() {
      stopping.abort()
      await done
    },
  }
}
