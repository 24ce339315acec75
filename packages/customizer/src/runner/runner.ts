// SPDX-License-Identifier: Apache-2.0
import { access, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError, nowMicros } from '@open-nemo/contract'
import type { JobStatus } from '@open-nemo/contract/customization/schemas.ts'
import { inSpan, type Logger } from '@open-nemo/runtime'
import { LeaseLostError } from '@open-nemo/runtime/jobs/index.ts'
import { DataError } from '../data/lines.ts'
import type { JobTable } from '../jobs/list.ts'
import { ACTIVE, addLog, FINAL } from '../jobs/progress.ts'
import type { CustomizationJob } from '../jobs/types.ts'
import { dataStep } from './data-step.ts'
import { adapterStep, entityStep, type ModelContext, removeEntity, serveStep } from './model-steps.ts'
import { createRun, JobFailure, type Run, Stopped, type StopReason, throwIfStopped } from './run.ts'
import { type TrainContext, trainStep } from './train-step.ts'

export interface RunnerOptions extends ModelContext, TrainContext {
  jobs: JobTable
  /** Names this customizer across restarts: nobody else may use the name while it runs. */
  owner: string
  /** Folder with one work folder for each job. */
  dir: string
  log: Logger
  /** Logs what a run learns elsewhere, until the returned function is called with how the job ended, if it did. */
  track?: (run: Run) => (ended?: JobStatus) => Promise<void>
  leaseMs?: number
  heartbeatMs?: number
  idleMs?: number
}

export interface Runner {
  /** A job was added: look for work now. */
  wake(): void
  /** The job's cancellation was asked for and is stored; ends it at once when it runs here. */
  cancel(id: string): void
  /** Removes the work folder of a job that is gone. */
  forget(id: string): Promise<void>
  trainerLog(id: string): Promise<string>
  /** Stops the job that runs; it goes on from its last checkpoint after the next start. */
  stop(): Promise<void>
}

type Step = (options: RunnerOptions, run: Run) => Promise<void>

/** The steps of a job in order, and whose failure each would be in the status log. Each may run again. */
const STEPS: readonly { name: string; part: string; work: Step }[] = [
  { name: 'data', part: 'EntityHandler_0_', work: dataStep },
  { name: 'train', part: 'TrainingJob', work: trainStep },
  { name: 'adapter', part: 'EntityHandler_1_', work: adapterStep },
  { name: 'entity', part: 'EntityHandler_1_', work: entityStep },
  { name: 'serve', part: 'EntityHandler_1_', work: serveStep },
]
const DONE = 'done'
const LOG_BYTES = 256 * 1024
// Large and of no use once a job has ended; events and logs stay.
const LEFTOVERS = ['data', 'checkpoints', 'output', 'output.upload', 'chat_template.jinja']

/** Works through the queue, so many jobs at a time, and takes up what an earlier life of this customizer left. */
export function createRunner(options: RunnerOptions): Runner {
  const { jobs, owner, log, executor } = options
  const { leaseMs = 30_000, heartbeatMs = 1000, idleMs = 2000 } = options
  const stopping = new AbortController()
  const active = new Map<string, AbortController>()
  const { jobs: places } = options.config
  let wakeUp = new AbortController()
  const workdir = (id: string) => join(options.dir, id)

  async function loop(): Promise<void> {
    for (let isReady = false; !isReady && !stopping.signal.aborted; ) {
      isReady = await prepare().then(
        () => true,
        (err) => {
          log.error({ err }, 'the jobs of the last run could not be freed')
          return sleep(idleMs, false, { signal: stopping.signal }).catch(() => false)
        },
      )
    }
    const working = new Set<Promise<void>>()
    while (!stopping.signal.aborted) {
      const job = working.size < places ? await claim() : undefined
      if (job) {
        const done = work(job)
          .catch((err) => log.error({ err, job: job.id }, 'a job was left unfinished'))
          .finally(() => {
            working.delete(done)
            wakeUp.abort()
          })
        working.add(done)
      } else {
        const signal = AbortSignal.any([wakeUp.signal, stopping.signal])
        await sleep(idleMs, undefined, { signal }).catch(() => undefined)
        wakeUp = new AbortController()
      }
    }
    await Promise.all(working)
  }

  const claim = () =>
    jobs.claim({ owner, leaseMs, statuses: ACTIVE }).catch((err) => {
      log.error({ err }, 'no job could be claimed')
      return undefined
    })

  /** Frees what the earlier life held, and ends trainers of jobs that have ended. */
  async function prepare(): Promise<void> {
    await jobs.freeOwned(owner)
    const left = await jobs.select('status = ANY($1::text[])', [ACTIVE])
    const isActive = new Set(left.map((job) => job.id))
    for (const id of await readdir(options.dir).catch(() => [])) {
      if (isActive.has(id)) continue
      await executor.clear({ id, workdir: workdir(id) })
      await removeLeftovers(workdir(id))
    }
  }

  async function work(job: CustomizationJob): Promise<void> {
    const abort = new AbortController()
    active.set(job.id, abort)
    const run = createRun({ jobs, job, owner, workdir: workdir(job.id), signal: abort.signal })
    const stopped = () => abort.abort('shutdown' satisfies StopReason)
    stopping.signal.addEventListener('abort', stopped, { once: true })
    if (stopping.signal.aborted) stopped()
    if (job.isCancelRequested) abort.abort('cancel' satisfies StopReason)
    const beating = heartbeat(run, abort)
    const untrack = options.track?.(run)
    log.info({ job: job.id, step: job.step, attempt: job.attempt }, 'job taken up')
    try {
      void markWaiting().catch((err) => log.warn({ err }, 'waiting jobs could not be marked'))
      await inSpan(spanOf(job), async () => {
        await runSteps(run, await firstStep(run, job.step))
        await untrack?.('completed')
        await finish(run, 'completed')
      })
    } catch (err) {
      await conclude(run, err)
      await untrack?.(FINAL.includes(run.status as JobStatus) ? (run.status as JobStatus) : undefined)
    } finally {
      clearInterval(beating)
      stopping.signal.removeEventListener('abort', stopped)
      active.delete(job.id)
    }
  }

  function heartbeat(run: Run, abort: AbortController) {
    return setInterval(() => {
      jobs.heartbeat(run.lease, leaseMs).then(
        ({ isCancelRequested }) => {
          if (isCancelRequested) abort.abort('cancel' satisfies StopReason)
        },
        (err) => {
          if (err instanceof LeaseLostError) abort.abort('lost' satisfies StopReason)
          else log.warn({ err, job: run.id }, 'a heartbeat could not be written')
        },
      )
    }, heartbeatMs)
  }

  const failing = new WeakMap<Run, string>()
  async function runSteps(run: Run, from: string): Promise<void> {
    const at = STEPS.findIndex((step) => step.name === from)
    // A job may have been killed after its last step, before its status was set.
    const first = from === DONE ? STEPS.length : Math.max(0, at)
    for (let i = first; i < STEPS.length; i++) {
      const step = STEPS[i]
      if (!step) break
      failing.set(run, step.part)
      throwIfStopped(run.signal)
      await inSpan({ name: `step ${step.name}` }, () => step.work(options, run))
      await run.completeStep(STEPS[i + 1]?.name ?? DONE)
    }
  }

  /** Ends the run as its error says: cancelled, back to the queue, left to another worker, or failed. */
  async function conclude(run: Run, err: unknown): Promise<void> {
    const reason = run.signal.aborted ? (run.signal.reason as StopReason) : undefined
    if (err instanceof LeaseLostError || reason === 'lost') {
      log.warn({ job: run.id }, 'another worker has taken the job')
    } else if (reason === 'cancel') {
      await cancelled(run)
    } else if (reason === 'shutdown' && executor.isApart) {
      // It trains on meanwhile.
      await run.release(run.status as JobStatus)
    } else if (reason === 'shutdown') {
      const detail = 'the platform was stopped; the job goes on when it is started again'
      if (run.status === 'running') void run.tell('TrainingJobPending', detail)
      await run.release(run.status === 'created' ? 'created' : 'pending')
    } else {
      await failed(run, err)
    }
  }

  async function cancelled(run: Run): Promise<void> {
    void run.tell('cancelling', undefined, true)
    await executor.clear({ id: run.id, workdir: run.workdir })
    await removeEntity(options, run).catch((err) => log.warn({ err, job: run.id }, 'its entity stays'))
    void run.tell('cancelled')
    await finish(run, 'cancelled')
  }

  async function failed(run: Run, err: unknown): Promise<void> {
    const { message, detail } = explain(err)
    log.warn({ err, job: run.id }, 'job failed')
    await executor.clear({ id: run.id, workdir: run.workdir })
    const at = nowMicros()
    void run.update((state) => ({
      ...addLog(state, {
        updated_at: at,
        message: `${failing.get(run) ?? STEPS[0]?.part}Failed`,
        detail: message,
      }),
      error: { message, detail, at },
    }))
    await finish(run, 'failed')
  }

  async function finish(run: Run, status: 'completed' | 'failed' | 'cancelled'): Promise<void> {
    void run.update((state) => ({ ...state, ended_at: nowMicros() }))
    await removeLeftovers(run.workdir)
    await run.release(status)
    log.info({ job: run.id, status }, 'job ended')
  }

  /** Tells the jobs behind the active one what they wait for. */
  async function markWaiting(): Promise<void> {
    const ids = [...active.keys()]
    if (ids.length < places) return
    const detail =
      places === 1
        ? `waiting for job ${ids[0]}: one job trains at a time`
        : `waiting for one of the jobs ${ids.join(', ')}: ${places} train at a time (NEMO_CUSTOMIZER_JOBS)`
    for (const job of await jobs.select(`status = 'created' AND owner IS NULL AND id <> ALL($1::text[])`, [
      ids,
    ])) {
      await jobs.update(job.id, (now) => {
        if (now.status !== 'created' || now.owner !== null) return undefined
        const entry = { updated_at: nowMicros(), message: 'NotEnoughResources', detail }
        return { status: 'pending', state: addLog(now.state, entry) }
      })
    }
  }

  const looping = loop().catch((err) => log.error({ err }, 'the queue of jobs has stopped'))
  return {
    wake() {
      wakeUp.abort()
      void markWaiting().catch((err) => log.warn({ err }, 'waiting jobs could not be marked'))
    },
    cancel(id) {
      active.get(id)?.abort('cancel' satisfies StopReason)
    },
    forget: async (id) => {
      await executor.clear({ id, workdir: workdir(id) })
      await rm(workdir(id), { recursive: true, force: true })
    },
    trainerLog: (id) => executor.log({ id, workdir: workdir(id) }, LOG_BYTES),
    async stop() {
      stopping.abort()
      await looping
    },
  }
}

/**
 * The step to go on with. A work folder that is not the one the steps before wrote to, as after a move to another
 * machine, begins anew: what they made is gone.
 */
async function firstStep(run: Run, step: string): Promise<string> {
  const isMade = async (paths: string[]) => {
    const found = await Promise.all(
      paths.map((path) =>
        access(path).then(
          () => true,
          () => false,
        ),
      ),
    )
    return found.every(Boolean)
  }
  const { data, commit } = run.state
  const needed = [...(data?.training ?? []), ...(data?.validation ?? [])]
  const isWhole =
    (step === 'train' && (await isMade(needed))) ||
    (step === 'adapter' && (commit !== null || (await isMade([join(run.workdir, 'output')])))) ||
    !['train', 'adapter'].includes(step)
  if (isWhole) return step
  const metrics = { train_loss: [], val_loss: [] }
  await run.update((state) => ({ ...state, event_offset: 0, trainer: null, data: null, metrics }))
  return 'data'
}

/** One worker's work on a job, in the trace of the request that made it. */
function spanOf(job: CustomizationJob) {
  const attributes = { 'nemo.job': job.id, 'nemo.attempt': job.attempt, 'nemo.step': job.step }
  return { service: 'customizer', name: 'customization job', parent: job.payload.trace, attributes }
}

async function removeLeftovers(workdir: string): Promise<void> {
  for (const name of LEFTOVERS) await rm(join(workdir, name), { recursive: true, force: true })
}

/** The reason of a failure for the job's user, and what helps whoever looks closer. */
function explain(err: unknown): { message: string; detail: string | null } {
  if (err instanceof JobFailure) return { message: err.message, detail: err.detail }
  if (err instanceof DataError) return { message: err.message, detail: null }
  if (err instanceof ApiError) return { message: `${err.message}. ${err.hint}`, detail: null }
  if (err instanceof Stopped || !(err instanceof Error)) return { message: String(err), detail: null }
  return { message: err.message, detail: err.stack ?? null }
}
