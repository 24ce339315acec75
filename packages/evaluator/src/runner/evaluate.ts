// SPDX-License-Identifier: Apache-2.0
import type { GroupResult, TaskResult } from '@open-nemo/contract/evaluation/results.ts'
import type { TaskStatus } from '@open-nemo/contract/evaluation/schemas.ts'
import { inSpan, type Span } from '@open-nemo/runtime'
import type { EvaluationKind, EvaluationTask, RunContext, Sample, SampleRecord } from '../kinds/types.ts'
import { ModelError } from '../model/types.ts'
import { TemplateError } from '../templates/types.ts'
import { metered } from './meter.ts'
import type { Recorder } from './recorder.ts'

/** Where a run stands; it is shown as the job's status details. */
export interface Progress {
  task_status: Record<string, TaskStatus>
  total: number | null
  processed: number
  failed: number
  retries: number
}

export interface Outcome {
  tasks: Record<string, TaskResult>
  groups: Record<string, GroupResult>
  progress: Progress
  /** The first errors of samples, for the job's message. */
  problems: string[]
}

/** The evaluation as a whole cannot go on; the message is for its user. */
export class EvaluationFailure extends Error {
  override name = 'EvaluationFailure'
}

/** So many samples without one success, and the endpoint or the template counts as out of order. */
const HOPELESS = 32
const KEPT_PROBLEMS = 3
/** Samples taken up for each request that the model under test may hold: some are asked, some judged, some wait their turn. */
const LANES = 4

/** Runs all tasks of a request one after the other; samples recorded before are not evaluated again. */
export async function evaluate(args: {
  kind: EvaluationKind
  ctx: RunContext
  recorder: Recorder
  /** Takes secrets out of what spans say. */
  mask: (text: string) => string
  onProgress: (progress: Progress) => void
}): Promise<Outcome> {
  const { kind, ctx, recorder } = args
  const tasks = await kind.tasks(ctx)
  const limit = ctx.request.config.params?.limit_samples ?? Number.POSITIVE_INFINITY
  const progress: Progress = {
    task_status: Object.fromEntries(tasks.map((task) => [task.name, 'pending'])),
    total: totalOf(tasks, limit),
    processed: 0,
    failed: 0,
    retries: 0,
  }
  const tell = () => args.onProgress({ ...progress, task_status: { ...progress.task_status } })
  const told = (err: unknown) => args.mask(err instanceof Error ? err.message : String(err))
  const problems: string[] = []
  const results: Record<string, TaskResult> = {}
  for (const task of tasks) {
    progress.task_status[task.name] = 'running'
    tell()
    try {
      const run = { task, limit, ctx, recorder, progress, problems, tell }
      results[task.name] = await inSpan({ name: `task ${task.name}` }, (span) => runTask(run, span), told)
      progress.task_status[task.name] = 'completed'
    } catch (err) {
      progress.task_status[task.name] = 'failed'
      tell()
      throw err
    }
    tell()
  }
  return { tasks: results, groups: kind.groups?.(results, ctx.request) ?? {}, progress, problems }
}

function totalOf(tasks: EvaluationTask[], limit: number): number | null {
  let total = 0
  for (const task of tasks) {
    if (task.total === undefined && !Number.isFinite(limit)) return null
    total += Math.min(task.total ?? limit, limit)
  }
  return total
}

interface TaskRun {
  task: EvaluationTask
  limit: number
  ctx: RunContext
  recorder: Recorder
  progress: Progress
  problems: string[]
  tell: () => void
}

async function runTask(run: TaskRun, span: Span | undefined): Promise<TaskResult> {
  const { task, ctx, recorder } = run
  ctx.log(`task ${task.name} begins`, task.name)
  try {
    const { meter, outcome } = await metered(async () => task.prepare?.())
    run.progress.retries += meter.retries
    if (outcome.status === 'rejected') throw outcome.reason
    const counts = await runSamples(run)
    span?.set({ 'nemo.samples': counts.done, 'nemo.samples_failed': counts.failed })
    await recorder.flush()
    if (counts.done > 0 && counts.failed === counts.done) {
      throw new EvaluationFailure(
        `all ${counts.done} samples of task ${task.name} failed: ${run.problems[0]}`,
      )
    }
    if (counts.done === 0) throw new EvaluationFailure(`task ${task.name} has no samples: its data is empty`)
    const { metrics, data } = await task.summarize(recorder.records(task.name))
    ctx.log(`task ${task.name} is done: ${counts.done} samples, ${counts.failed} of them failed`, task.name)
    return data ? { metrics, data } : { metrics }
  } finally {
    await task.close?.()
  }
}

/** Evaluates the samples of a task side by side. More are taken up than the model answers at once, so that it stays busy while others are judged. */
async function runSamples(run: TaskRun): Promise<{ done: number; failed: number }> {
  const { task, limit, ctx, recorder, progress, problems } = run
  const known = await recorder.known(task.name)
  const counts = { done: known.indexes.size, failed: known.failed, lost: 0 }
  progress.processed += counts.done
  progress.failed += known.failed
  progress.retries += known.retries
  if (counts.done > 0) ctx.log(`${counts.done} samples are recorded already and stay`, task.name)
  const note = (record: SampleRecord) => {
    counts.done++
    progress.processed++
    progress.retries += record.retries
    if (record.error === null) return
    counts.failed++
    progress.failed++
    if (problems.length < KEPT_PROBLEMS) problems.push(record.error)
    ctx.log(`sample ${record.index} failed: ${record.error}`, task.name)
  }
  const one = async (sample: Sample) => {
    const { record, err } = await evaluateSample(task, sample)
    // What was cut short by a stop is not a result: it is evaluated again.
    ctx.signal.throwIfAborted()
    await recorder.add(task.name, record)
    note(record)
    counts.lost = err instanceof ModelError || err instanceof TemplateError ? counts.lost + 1 : 0
    if (counts.lost >= HOPELESS && counts.failed === counts.done) {
      throw new EvaluationFailure(
        `the first ${counts.done} samples of task ${task.name} all failed: ${problems[0]}`,
      )
    }
    run.tell()
  }
  const samples = pending(task.samples(), known.indexes, limit)
  await inParallel(samples, ctx.parallelism * LANES, one, ctx.signal)
  return counts
}

async function* pending(
  samples: AsyncIterable<Sample>,
  known: Set<number>,
  limit: number,
): AsyncGenerator<Sample> {
  if (limit <= 0) return
  for await (const sample of samples) {
    if (!known.has(sample.index)) yield sample
    if (sample.index + 1 >= limit) return
  }
}

async function evaluateSample(
  task: EvaluationTask,
  sample: Sample,
): Promise<{ record: SampleRecord; err: unknown }> {
  const start = performance.now()
  const { meter, outcome } = await metered(() => task.evaluate(sample), sample.index)
  const common = {
    index: sample.index,
    item: sample.item,
    retries: meter.retries,
    ms: Math.round(performance.now() - start),
  }
  if (outcome.status === 'fulfilled') {
    return { record: { ...common, ...outcome.value, error: null }, err: undefined }
  }
  const err: unknown = outcome.reason
  const error = err instanceof Error ? err.message : String(err)
  return { record: { ...common, scores: {}, error: error.slice(0, 2000) }, err }
}

/** Runs `work` on everything that `source` gives, at most `width` at a time. The first failure ends all and is thrown. */
async function inParallel<T>(
  source: AsyncGenerator<T>,
  width: number,
  work: (value: T) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let failure: { err: unknown } | undefined
  const lane = async () => {
    while (!failure && !signal.aborted) {
      try {
        const next = await source.next()
        if (next.done) return
        await work(next.value)
      } catch (err) {
        failure ??= { err }
      }
    }
  }
  try {
    await Promise.all(Array.from({ length: width }, lane))
  } finally {
    await source.return(undefined)
  }
  signal.throwIfAborted()
  if (failure) throw failure.err
}
