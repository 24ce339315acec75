// SPDX-License-Identifier: Apache-2.0
import { nowMicros } from '@open-nemo/contract'
import type { JobStatus } from '@open-nemo/contract/customization/schemas.ts'
import type { Lease } from '@open-nemo/runtime/jobs/index.ts'
import type { JobTable } from '../jobs/list.ts'
import { addLog } from '../jobs/progress.ts'
import type { CustomizationJob, JobState } from '../jobs/types.ts'

/** Why a run is stopped from outside. */
export type StopReason = 'cancel' | 'shutdown' | 'lost'

/** Thrown by steps once their run's signal is aborted. */
export class Stopped extends Error {
  readonly reason: StopReason

  constructor(reason: StopReason) {
    super(`the run was stopped: ${reason}`)
    this.name = 'Stopped'
    this.reason = reason
  }
}

/** The job itself cannot be done; the message is for its user. */
export class JobFailure extends Error {
  readonly detail: string | null

  constructor(message: string, detail: string | null = null, options?: ErrorOptions) {
    super(message, options)
    this.name = 'JobFailure'
    this.detail = detail
  }
}

/** One worker's hold on a job, with the state it works on. */
export type Run = ReturnType<typeof createRun>

/** Keeps a job's state while a worker is on it, and writes it under the lease. */
export function createRun(args: {
  jobs: JobTable
  job: CustomizationJob
  owner: string
  workdir: string
  signal: AbortSignal
}) {
  const { jobs, job, signal } = args
  const lease: Lease = { id: job.id, owner: args.owner, attempt: job.attempt }
  let { state, status } = job
  let pending: Promise<unknown> | undefined

  /** One write at a time; what changes meanwhile goes into the next one. */
  function save(): Promise<unknown> {
    if (pending) return pending
    const mine = (async () => {
      await last.catch(() => undefined)
      pending = undefined
      await jobs.save(lease, { status, state })
    })()
    pending = mine
    last = mine
    // A step learns of a failed write when it next waits for one; callers of `tell` do not wait.
    mine.catch(() => undefined)
    return mine
  }
  let last: Promise<unknown> = Promise.resolve()

  return {
    id: job.id,
    payload: job.payload,
    workdir: args.workdir,
    lease,
    signal,
    get state(): JobState {
      return state
    },
    get status(): string {
      return status
    },
    /** Changes the state, and the status when given, and writes both. */
    update(change: (state: JobState) => JobState, next?: JobStatus): Promise<unknown> {
      state = change(state)
      status = next ?? status
      return save()
    },
    /** Adds a status log entry; once there is one with this message and another after it, `once` adds none. */
    tell(message: string, detail?: string, once = false): Promise<unknown> {
      const isKnown = state.logs.some((log) => log.message === message)
      if (once && isKnown) return Promise.resolve()
      const entry = { updated_at: nowMicros(), message, ...(detail ? { detail } : {}) }
      return this.update((now) => addLog(now, entry))
    },
    /** Writes the state together with the step that comes next. */
    async completeStep(next: string): Promise<void> {
      await last.catch(() => undefined)
      await jobs.completeStep(lease, next, { status, state })
    },
    /** Gives the job up with this status; the state is written with it. */
    async release(final: JobStatus): Promise<void> {
      await last.catch(() => undefined)
      status = final
      await jobs.release(lease, { status: final, state })
    },
    /** Waits for work that cannot be interrupted, but no longer than until the run is stopped. */
    async race<T>(work: Promise<T>): Promise<T> {
      work.catch(() => undefined)
      throwIfStopped(signal)
      let stop: (() => void) | undefined
      const stopped = new Promise<never>((_, reject) => {
        stop = () => reject(new Stopped(signal.reason as StopReason))
        signal.addEventListener('abort', stop, { once: true })
      })
      try {
        return await Promise.race([work, stopped])
      } finally {
        if (stop) signal.removeEventListener('abort', stop)
      }
    },
  }
}

export function throwIfStopped(signal: AbortSignal): void {
  if (signal.aborted) throw new Stopped(signal.reason as StopReason)
}
