// SPDX-License-Identifier: Apache-2.0
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ApiError, nowMicros } from '@open-nemo/contract'
import { type Database, inSpan, type Logger, type Span } from '@open-nemo/runtime'
import { type Lease, LeaseLostError } from '@open-nemo/runtime/jobs/index.ts'
import { createRedactor, type Secrets } from '../entities/secrets.ts'
import { requestOf } from '../jobs/spec.ts'
import type { Job, JobState, JobTable } from '../jobs/types.ts'
import { kindOf } from '../kinds/registry.ts'
import type { EvaluationKind } from '../kinds/types.ts'
import { publishFiles } from '../report/publish.ts'
import { insertResult, newResult } from '../results/store.ts'
import { createRunContext, type RunServices } from './context.ts'
import { evaluate, type Outcome, type Progress } from './evaluate.ts'
import { createKept, dropKept } from './kept.ts'
import { createDatabaseRecorder, type Recorder } from './recorder.ts'

/** Why a run is stopped from outside. */
export type StopReason = 'cancel' | 'shutdown' | 'lost'

export interface JobServices extends RunServices {
  db: Database
  jobs: JobTable
  kinds: readonly EvaluationKind[]
  log: Logger
  owner: string
}

const SAVE_MS = 500

/**
 * Runs one claimed job to its end and writes how it ended, in the trace of the request that made it. `signal` carries a
 * StopReason.
 */
export async function runJob(services: JobServices, job: Job, signal: AbortSignal): Promise<void> {
  const { attempt, payload } = job
  const attributes = {
    'nemo.job': job.id,
    'nemo.attempt': attempt,
    'nemo.type': payload.config.type as string,
  }
  const spec = { service: 'evaluator', name: 'evaluation job', parent: payload.trace, attributes }
  await inSpan(spec, (span) => work(services, job, { signal, span }))
}

async function work(
  services: JobServices,
  job: Job,
  { signal, span }: { signal: AbortSignal; span: Span | undefined },
): Promise<void> {
  const { db, jobs, log, owner } = services
  const lease: Lease = { id: job.id, owner, attempt: job.attempt }
  const secrets = await secretsOf(db, job.id)
  const redact = createRedactor(Object.values(secrets))
  const recorder = createDatabaseRecorder(db, job.id, redact)
  const state = createState(jobs, lease, job.state)
  const say = (message: string) => recorder.log({ task: '', message })
  const end = async (status: string, change: Partial<JobState>) => {
    await recorder.flush()
    await state.settle()
    await jobs.release(lease, { status, state: { ...state.value, ...change, ended_at: nowMicros() } })
    await db.query('DELETE FROM evaluator.job_secrets WHERE job = $1', [job.id])
    await dropKept(db, job.id)
    await rm(join(services.dir, job.id), { recursive: true, force: true })
    span?.set({ 'nemo.status': status })
    if (change.error) span?.fail(change.error)
    log.info({ job: job.id, status }, 'evaluation job ended')
  }
  log.info({ job: job.id, attempt: job.attempt, type: job.payload.config.type }, 'evaluation job taken up')
  try {
    signal.throwIfAborted()
    say(job.state.started_at ? 'the job goes on where it was stopped' : 'the job begins')
    state.set({ started_at: job.state.started_at ?? nowMicros() }, 'running')
    const request = requestOf({ target: job.payload.target, config: job.payload.config, secrets })
    const kind = kindOf(request.config.type, services.kinds)
    const kept = createKept(db, job.id)
    const ctx = createRunContext(services, { jobId: job.id, request, recorder, kept, redact, signal })
    const outcome = await evaluate({
      kind,
      ctx,
      recorder,
      mask: redact.text,
      onProgress: (progress) => state.set(counts(progress)),
    })
    const result = newResult(
      redact.value({
        job: job.id,
        namespace: job.payload.namespace,
        project: job.payload.kept.project,
        files_url: job.payload.output_files_url,
        tasks: outcome.tasks,
        groups: outcome.groups,
      }),
    )
    await insertResult(db, result)
    const message = redact.text(endMessage(outcome))
    say(message)
    const ended = { ...counts(outcome.progress), message, result: result.id }
    const unpublished = await publish(services, job, { ...state.value, ...ended }, recorder)
    await end(
      'completed',
      unpublished ? { ...ended, message: `${message} ${redact.text(unpublished)}` } : ended,
    )
  } catch (err) {
    const reason = signal.aborted ? (signal.reason as StopReason) : undefined
    span?.set({ 'nemo.stopped': reason })
    if (err instanceof LeaseLostError || reason === 'lost') {
      log.warn({ job: job.id }, 'another worker has taken the job')
    } else if (reason === 'cancel') {
      say('the job was cancelled')
      await end('cancelled', { message: 'The job was cancelled.' })
    } else if (reason === 'shutdown') {
      say('the service was stopped; the job goes on when it is started again')
      await recorder.flush()
      await state.settle()
      await jobs.release(lease, { state: state.value })
    } else {
      const message = redact.text(explain(err))
      log.warn({ job: job.id, reason: message }, 'evaluation job failed')
      say(`the job failed: ${message}`)
      await end('failed', { message, error: message })
    }
  }
}

/** Puts the files where the job wants them. Gives what to tell its user when that fails: the result is there all the same. */
async function publish(
  { db, data, log }: JobServices,
  job: Job,
  state: JobState,
  recorder: Recorder,
): Promise<string | undefined> {
  const url = job.payload.output_files_url
  if (!url) return undefined
  await recorder.flush()
  try {
    await publishFiles(db, data, { ...job, status: 'completed', state }, url)
    return undefined
  } catch (err) {
    log.warn({ err, job: job.id }, 'the files of a job could not be written')
    return `Its files could not be written to ${url}: ${explain(err)}`
  }
}

async function secretsOf(db: Database, id: string): Promise<Secrets> {
  const [row] = await db.query<{ secrets: Secrets }>(
    'SELECT secrets FROM evaluator.job_secrets WHERE job = $1',
    [id],
  )
  return row?.secrets ?? {}
}

function counts({ task_status, total, processed, failed, retries }: Progress): Partial<JobState> {
  return { task_status, total, processed, failed, retries }
}

function endMessage({ progress, problems }: Outcome): string {
  const said = ['Job completed successfully.']
  if (progress.failed > 0) {
    said.push(
      `${progress.failed} of ${progress.processed} samples failed, the first with: ${problems[0] ?? 'see the log'}`,
    )
  }
  if (progress.retries > 0) said.push(`${progress.retries} requests were sent again.`)
  return said.join(' ')
}

/** Keeps a job's state and writes it under the lease, at most every `SAVE_MS`. */
function createState(jobs: JobTable, lease: Lease, initial: JobState) {
  let value = initial
  let status: string | undefined
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<unknown> = Promise.resolve()
  const save = () => {
    timer = undefined
    const change = { state: value, ...(status ? { status } : {}) }
    writing = writing.then(() => jobs.save(lease, change)).catch(() => undefined)
  }
  return {
    get value() {
      return value
    },
    set(change: Partial<JobState>, next?: string) {
      value = { ...value, ...change }
      if (next) {
        status = next
        save()
      } else timer ??= setTimeout(save, SAVE_MS)
    },
    /** Ends the writing; what was not written goes with the job's release. */
    async settle() {
      clearTimeout(timer)
      await writing
    },
  }
}

/** The reason of a failure for the job's user. */
function explain(err: unknown): string {
  if (err instanceof ApiError) return `${err.message}. ${err.hint}`
  return err instanceof Error ? err.message : String(err)
}
