// SPDX-License-Identifier: Apache-2.0
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, join, relative } from 'node:path'
import type { ServiceContext } from '@open-nemo/runtime'
import type { Execution, Executor, Outcome } from '@open-nemo/runtime/executors/index.ts'
import type { CustomizerConfig } from '../config.ts'
import { isPrepared } from '../internal/app.ts'
import { applyEvent } from '../jobs/progress.ts'
import type { JobPayload, JobState } from '../jobs/types.ts'
import { type Launcher, withPercent } from './launcher.ts'
import { retry } from './retry.ts'
import { JobFailure, type Run, Stopped, throwIfStopped } from './run.ts'
import { type TrainerSpans, trainerSpans } from './trainer-spans.ts'

export interface TrainContext {
  catalogue: ServiceContext['catalogue']
  executor: Executor
  launcher: Launcher
  config: CustomizerConfig
}

type CatalogueModel = ServiceContext['catalogue']['models'][number]

const CANCEL_GRACE_MS = 2500
const SHUTDOWN_GRACE_MS = 6000
const MAX_STARTS = 3
const LOG_TAIL_BYTES = 4096
const GIB = 2 ** 30

/**
 * Trains: goes on with a trainer that a crash of the platform left running, or starts one, which goes on from the
 * last checkpoint in the work folder; so does a trainer that was killed, a few times. A run that is stopped ends its
 * trainer, except when another worker has it now.
 */
export async function trainStep(ctx: TrainContext, run: Run): Promise<void> {
  const ref = { id: run.id, workdir: run.workdir, limits: { memoryBytes: ctx.config.memoryBytes } }
  await run.tell('TrainingJobCreated', undefined, true)
  let execution = await retry(() => ctx.executor.attach(ref), run.signal)
  // A pod that begins anew needs its input again, should this disk be new.
  if (execution && ctx.launcher.isRemote && !(await isPrepared(run.workdir))) await prepareWork(ctx, run)
  // What an earlier life of the platform left unfinished is started again without counting.
  let starts = 0
  for (;;) {
    if (!execution) {
      execution = await startTrainer(ctx, run)
      starts += 1
    }
    await followOrStop(ctx.executor, execution, run)
    const outcome = await execution.outcome()
    if (run.state.trainer?.kind === 'completed') break
    const isKilled = !run.state.trainer && wasKilled(outcome)
    if (starts > 0 && !(isKilled && starts < MAX_STARTS)) {
      throw failureOf(outcome, run.state, await ctx.executor.log(ref, LOG_TAIL_BYTES))
    }
    if (['memory', 'refused'].includes(outcome.kind) || run.state.trainer)
      throw failureOf(outcome, run.state, '')
    execution = undefined
  }
  await run.tell('TrainingJobCompleted', `${run.state.steps_completed} steps`)
}

/** Whether something outside ended the trainer: no exit code, or that of SIGKILL or SIGTERM. */
function wasKilled(outcome: Outcome): boolean {
  return outcome.kind === 'lost' || (outcome.kind === 'exited' && [137, 143].includes(outcome.code))
}

async function startTrainer(ctx: TrainContext, run: Run): Promise<Execution> {
  await run.tell('TrainingJobPending', 'waiting for the trainer')
  const tell = (message: string) => void run.tell('TrainingJobPending', message)
  const { command, env } = await run.race(ctx.launcher.prepare(tell))
  await prepareWork(ctx, run)
  throwIfStopped(run.signal)
  await run.tell('TrainingJobPending', 'starting the trainer and loading the model')
  const spec = {
    id: run.id,
    workdir: run.workdir,
    command: [...command, run.workdir],
    env,
    limits: { memoryBytes: ctx.config.memoryBytes },
  }
  return await retry(() => ctx.executor.start(spec), run.signal)
}

/** Writes what the trainer reads, beside its data, to the work folder. */
async function prepareWork(ctx: TrainContext, run: Run): Promise<void> {
  const model = ctx.catalogue.resolve(baseName(run.payload.config_snapshot.base_model))
  if (!model) {
    throw new JobFailure(
      `the model ${run.payload.config_snapshot.base_model} is not in the catalogue any more`,
    )
  }
  const weights = await run.race(weightsOf(ctx, run, model))
  const template =
    run.payload.chat_prompt_template ?? (model.templateFile ? ctx.catalogue.template(model) : null)
  await mkdir(run.workdir, { recursive: true })
  if (template !== null) await writeFile(join(run.workdir, 'chat_template.jinja'), template)
  const job = jobFile({
    run,
    modelDir: weights.dir,
    model: model.id,
    template,
    config: ctx.config,
  })
  const spec = ctx.launcher.isRemote ? remoteJob(job, run.workdir, { ...model, ...weights }) : job
  await writeFile(join(run.workdir, 'job.json'), JSON.stringify(spec, null, 2))
  await run.update((state) => ({ ...state, weights_sha256: weights.sha256 }))
}

/** The weights here, as a checkpoint to train; a pod has its own and is told which. */
async function weightsOf(
  ctx: TrainContext,
  run: Run,
  model: CatalogueModel,
): Promise<{ dir: string; file: string; sha256: string | null }> {
  const progress = (event: { message: string; fraction?: number }) =>
    void run.tell('TrainingJobPending', withPercent(event))
  if (!ctx.launcher.isRemote) return { ...(await ctx.catalogue.ensureCheckpoint(model, progress)), file: '' }
  if (model.kind !== 'gguf') return { dir: '', file: '', sha256: null }
  const { path, sha256 } = await ctx.catalogue.ensureGguf(model, progress)
  return { dir: '', file: basename(path), sha256 }
}

/** A job for another machine: paths below the work folder, and the model by name and sum. */
function remoteJob(
  job: Record<string, unknown>,
  workdir: string,
  model: { id: string; kind: string; file: string; sha256: string | null },
): Record<string, unknown> {
  const { model_dir: _dir, threads: _threads, ...rest } = job
  const below = (paths: unknown) => (paths as string[]).map((path) => relative(workdir, path))
  return {
    ...rest,
    training_files: below(job.training_files),
    validation_files: below(job.validation_files),
    chat_template_file: job.chat_template_file === null ? null : 'chat_template.jinja',
    model: { id: model.id, kind: model.kind, file: model.file, sha256: model.sha256 },
  }
}

/** Takes in what the trainer tells until it has ended; when the run is stopped first, ends the trainer. */
async function followOrStop(executor: Executor, execution: Execution, run: Run): Promise<void> {
  const begun = new AbortController()
  const tell = (reason: string) => void run.tell('TrainingJobPending', reason)
  void execution.waiting?.(tell, AbortSignal.any([begun.signal, run.signal]))
  const spans = trainerSpans(run.id)
  try {
    await follow(execution, run, { spans, onStarted: () => begun.abort() })
  } finally {
    spans.end()
    begun.abort()
  }
  if (!run.signal.aborted) return
  const { reason } = run.signal
  if (reason !== 'lost' && !(reason === 'shutdown' && executor.isApart)) {
    await execution.stop(reason === 'cancel' ? CANCEL_GRACE_MS : SHUTDOWN_GRACE_MS)
  }
  throw new Stopped(reason)
}

async function follow(
  execution: Execution,
  run: Run,
  { spans, onStarted }: { spans: TrainerSpans; onStarted: () => void },
): Promise<void> {
  for await (const batch of execution.events(run.state.event_offset, run.signal)) {
    spans.take(batch.map((event) => event.value))
    const hasStarted = batch.some((event) => event.value.event === 'started')
    const take = (state: JobState) =>
      batch.reduce((now, { value, offset }) => applyEvent(now, value, offset), state)
    await run.update(take, hasStarted ? 'running' : undefined)
    if (hasStarted) onStarted()
    if (hasStarted) await run.tell('TrainingJobRunning', startedDetail(batch.map((event) => event.value)))
    if (run.signal.aborted) return
  }
}

function startedDetail(events: Record<string, unknown>[]): string {
  const started = events.findLast((event) => event.event === 'started') ?? {}
  const resumed = Number(started.resumed_from_step ?? 0)
  const steps = `${started.steps_total} steps on ${started.train_rows} rows`
  return resumed > 0 ? `${steps}, going on from step ${resumed}` : steps
}

/** What the trainer is told; see trainer/src/nemo_trainer/job.py. */
export function jobFile(args: {
  run: { id: string; workdir: string; payload: JobPayload; state: JobState }
  modelDir: string
  model: string
  template: string | null
  config: CustomizerConfig
}): Record<string, unknown> {
  const { run, config } = args
  const { hyperparameters, config_snapshot, has_warmup, task, dataset_parameters } = run.payload
  const { warmup_steps, seed, ...rest } = hyperparameters
  return {
    job_id: run.id,
    model_dir: args.modelDir,
    base_model: args.model,
    chat_template_file: args.template === null ? null : join(run.workdir, 'chat_template.jinja'),
    training_files: run.state.data?.training ?? [],
    validation_files: run.state.data?.validation ?? [],
    prompt_template: config_snapshot.prompt_template,
    ...(task && { task, dataset_parameters }),
    max_seq_length: config_snapshot.max_seq_length,
    seed,
    hyperparameters: {
      ...rest,
      ...(has_warmup ? { warmup_steps } : {}),
      micro_batch_size: config_snapshot.training_option.micro_batch_size ?? null,
    },
    checkpoint_interval_s: config.checkpointSeconds,
    threads: config.threads,
  }
}

/** Why the training did not complete, for the job's user. */
export function failureOf(outcome: Outcome, state: JobState, logTail: string): JobFailure {
  const detail = logTail.trim() || null
  if (outcome.kind === 'memory') {
    return new JobFailure(
      `training was ended because it used ${gib(outcome.usedBytes)} of memory, and may use ` +
        `${gib(outcome.limitBytes)}: use a config with a shorter max_seq_length or a smaller micro_batch_size, ` +
        'or raise NEMO_TRAINER_MEMORY_MB',
    )
  }
  if (outcome.kind === 'refused') return new JobFailure(`training could not run: ${outcome.reason}`, detail)
  if (state.trainer?.kind === 'failed') return new JobFailure(state.trainer.message, state.trainer.detail)
  if (wasKilled(outcome)) {
    return new JobFailure(
      'the trainer was killed from outside again and again, most often because the machine ran out of memory',
      detail,
    )
  }
  const code = outcome.kind === 'exited' ? outcome.code : 'unknown'
  return new JobFailure(`the trainer ended with exit code ${code} and no reason`, detail)
}

const gib = (bytes: number) => `${(bytes / GIB).toFixed(1)} GiB`

function baseName(model: string): string {
  return model.split('@')[0] ?? model
}
