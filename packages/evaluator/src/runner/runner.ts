// SPDX-License-Identifier: Apache-2.0
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { LeaseLostError } from '@open-nemo/runtime/jobs/index.ts'
import { ACTIVE, type Job } from '../jobs/types.ts'
import { type JobServices, runJob, type StopReason } from './job.ts'

export interface RunnerOptions extends JobServices {
  leaseMs?: number
  heartbeatMs?: number
  idleMs?: number
  /** Runs this job alone, and then is done. */
  only?: string
}

export interface Runner {
  /** Resolves once it has stopped, or its only job has ended. */
  readonly done: Promise<void>
  /** A job was added: look for work now. */
  wake(): void
  /** The job's cancellation was asked for and is stored; ends it at once when it runs here. */
  cancel(id: string): void
  /** Removes the work folder of a job that is gone. */
  forget(id: string): Promise<void>
  /** Stops the jobs that run; they go on at their next sample after the next start. */
  stop(): Promise<void>
}

/** Works through the queue, some jobs at a time, and takes up what an earlier life of this evaluator left. */
export function createRunner(options: RunnerOptions): Runner {
  const { jobs, owner, log, settings } = options
  const { leaseMs = 30_000, heartbeatMs = 1000, idleMs = 2000 } = options
  const stopping = new AbortController()
  const active = new Map<string, AbortController>()
  let wakeUp = new AbortController()

  async function lane(): Promise<void> {
    while (!stopping.signal.aborted) {
      const job = await jobs.claim({ owner, leaseMs, statuses: ACTIVE, id: options.only }).catch((err) => {
        log.error({ err }, 'no evaluation job could be claimed')
        return undefined
      })
      if (job) await work(job).catch((err) => log.error({ err, job: job.id }, 'a job was left unfinished'))
      else if (!options.only) await pause()
      if (options.only) return
    }
  }

  async function pause(): Promise<void> {
    const signal = AbortSignal.any([wakeUp.signal, stopping.signal])
    await sleep(idleMs, undefined, { signal }).catch(() => undefined)
    if (wakeUp.signal.aborted) wakeUp = new AbortController()
  }

  async function work(job: Job): Promise<void> {
    const abort = new AbortController()
    active.set(job.id, abort)
    const stopped = () => abort.abort('shutdown' satisfies StopReason)
    stopping.signal.addEventListener('abort', stopped, { once: true })
    if (stopping.signal.aborted) stopped()
    if (job.isCancelRequested) abort.abort('cancel' satisfies StopReason)
    const lease = { id: job.id, owner, attempt: job.attempt }
    const beating = setInterval(() => {
      jobs.heartbeat(lease, leaseMs).then(
        ({ isCancelRequested }) => {
          if (isCancelRequested) abort.abort('cancel' satisfies StopReason)
        },
        (err) => {
          if (err instanceof LeaseLostError) abort.abort('lost' satisfies StopReason)
          else log.warn({ err, job: job.id }, 'a heartbeat could not be written')
        },
      )
    }, heartbeatMs)
    try {
      await runJob(options, job, abort.signal)
    } finally {
      clearInterval(beating)
      stopping.signal.removeEventListener('abort', stopped)
      active.delete(job.id)
    }
  }

  const looping = (async () => {
    while (!stopping.signal.aborted) {
      try {
        await jobs.freeOwned(owner)
        break
      } catch (err) {
        log.error({ err }, 'the jobs of the last run could not be freed')
        await sleep(idleMs, undefined, { signal: stopping.signal }).catch(() => undefined)
      }
    }
    await Promise.all(Array.from({ length: options.only ? 1 : settings.jobs }, lane))
  })()
  return {
    done: looping,
    wake: () => wakeUp.abort(),
    cancel: (id) => active.get(id)?.abort('cancel' satisfies StopReason),
    forget: (id) => rm(join(options.dir, id), { recursive: true, force: true }),
    async stop() {
      stopping.abort()
      await looping
    },
  }
}
