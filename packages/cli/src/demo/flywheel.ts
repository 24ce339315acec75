// SPDX-License-Identifier: Apache-2.0
import { mkdir, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config, FlatStatus, Job } from '@open-nemo/contract/customization/schemas.ts'
import { readLock } from '@open-nemo/runtime'
import { homePaths, type PlatformConfig } from '../platform/config.ts'
import { CORPUS_SOURCE, fetchCorpus, questions, type Split, split, TOPICS, toJsonl } from './corpus.ts'
import { evaluateModel } from './evaluate.ts'
import { showGuard } from './guard.ts'
import {
  ask,
  type Clients,
  connect,
  DemoError,
  mapLimited,
  type PlatformUrls,
  waitUntilServed,
} from './platform.ts'
import { lossSvg, type Point, sparkline } from './plot.ts'
import { liveLine } from './progress.ts'
import { type Answered, answersTable, type Comparison, isBetter, scoreTable } from './report.ts'

export interface FlywheelOptions {
  /** Folder for the plot and the answers. */
  out: string
  /** False leaves out the files. */
  files: boolean
}

const NAMESPACE = 'demo'
const DATASET = 'topics'
/** Each training row is seen once: 144 row passes. */
const SIZES = { training: 144, validation: 16, heldOut: 40 }
const HYPERPARAMETERS = {
  training_type: 'sft',
  finetuning_type: 'lora',
  epochs: 1,
  batch_size: 8,
  learning_rate: 2e-3,
  log_every_n_steps: 1,
  val_check_interval: 0.25,
  seed: 42,
  lora: { adapter_dim: 16, alpha: 32, adapter_dropout: 0.05 },
} as const
/** Enough for any reference; a longer answer is cut for both models alike. */
const MAX_TOKENS = 32
const CONCURRENT = 4
const SERVED_WITHIN_MS = 60_000
const SHOWN_ANSWERS = 8

/**
 * `nemoctl demo flywheel`: uploads real messages with their topics, tunes the first model that can be tuned, and compares
 * it with its base on messages that neither training nor validation has seen. Returns the exit code: 0 when the tuned
 * model is better, 1 when it is not, 3 when no platform runs. Throws DemoError, UpstreamError.
 */
export async function flywheel(config: PlatformConfig, options: FlywheelOptions): Promise<number> {
  const holder = await readLock(homePaths(config.home).lock)
  const urls = holder?.info.urls as PlatformUrls | undefined
  if (!urls) {
    console.error(`Nothing runs on ${config.home}. Start it with \`nemoctl up\`, then run this again.`)
    return 3
  }
  const started = performance.now()
  const stages: [string, number][] = []
  const stage = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    const from = performance.now()
    const result = await work()
    stages.push([name, (performance.now() - from) / 1000])
    return result
  }
  const clients = connect(urls)

  const parts = await stage('data', () => prepare(config))
  await stage('upload', () => upload(clients, parts))
  const tuned = await stage('tune', () => tune(clients))
  await stage('serve', () => waitUntilServed(clients.nim, tuned.model, SERVED_WITHIN_MS))
  console.log(`4. ${tuned.model} answers at ${clients.nim}/v1/chat/completions`)
  const answers = await askBoth(clients, parts, tuned)
  console.log(`\n${answersTable(answers, process.stdout.columns ?? 110)}\n`)
  const comparison = await stage('evaluate', () => evaluateBoth(urls, tuned))
  console.log(
    `   ${comparison.tuned.rows} held-out messages, temperature 0, scored against the references:\n`,
  )
  console.log(`${scoreTable(comparison)}\n`)
  showLoss(tuned.status)
  if (options.files) await writeFiles(options.out, tuned, { comparison, answers })
  const question = parts.heldOut[0]?.question ?? ''
  const guarded = { platform: urls.platform, namespace: NAMESPACE, model: tuned.model, question }
  await stage('guard', () => showGuard({ ...guarded, maxTokens: MAX_TOKENS }))
  console.log(stages.map(([name, seconds]) => `${name} ${seconds.toFixed(1)} s`).join(', '))
  const better = isBetter(comparison)
  const verdict = better ? 'The tuned model is better on' : 'The tuned model is NOT better on'
  const total = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`${verdict} messages it has not seen. Total ${total} s.`)
  return better ? 0 : 1
}

async function prepare(config: PlatformConfig): Promise<Split> {
  const pairs = questions(await fetchCorpus(config.cache, process.env))
  const parts = split(pairs, SIZES)
  const { training, validation, heldOut } = SIZES
  console.log(`1. Data: ${pairs.length} messages of ${TOPICS.length} topics (${CORPUS_SOURCE})`)
  console.log(`   ${training} to train on, ${validation} to validate, ${heldOut} held out`)
  return parts
}

async function upload({ dataStore, entities }: Clients, parts: Split): Promise<void> {
  const id = `${NAMESPACE}/${DATASET}`
  await entities.namespaces.ensure(NAMESPACE)
  await dataStore.ensureNamespace(NAMESPACE)
  await dataStore.createRepo({ type: 'dataset', id, existOk: true })
  await dataStore.commit({
    type: 'dataset',
    id,
    message: 'messages of the flywheel demo',
    files: [
      { path: 'training/training.jsonl', content: toJsonl(parts.training) },
      { path: 'validation/validation.jsonl', content: toJsonl(parts.validation) },
      { path: 'testing/testing.jsonl', content: toJsonl(parts.heldOut) },
    ],
  })
  if (!(await entities.datasets.find(NAMESPACE, DATASET))) {
    await entities.datasets.create({
      namespace: NAMESPACE,
      name: DATASET,
      files_url: `hf://datasets/${id}`,
      description: `What is the topic of a message? ${CORPUS_SOURCE}`,
    })
  }
  console.log(`2. Uploaded and registered as dataset ${id}`)
}

interface Tuned {
  model: string
  base: string
  status: FlatStatus
}

async function tune(clients: Clients): Promise<Tuned> {
  const { customization } = clients
  const config = await firstConfig(clients)
  const reference = `${config.namespace}/${config.name}`
  const version = new Date().toISOString().replaceAll(/[-:]|\..*/g, '')
  const job = await customization.createJob({
    name: 'flywheel-demo',
    description: 'nemoctl demo flywheel',
    config: reference,
    dataset: { namespace: NAMESPACE, name: DATASET },
    output_model: `${NAMESPACE}/${DATASET}@${version}`,
    hyperparameters: HYPERPARAMETERS,
  })
  console.log(`3. Tuning with ${reference}: job ${job.id}`)
  for (const warning of job.warnings ?? []) console.log(`   note: ${warning.message}`)
  // A terminal's interrupt comes twice: from the terminal and from the launcher.
  let stopping = false
  const stop = () => {
    if (stopping) return
    stopping = true
    console.log(`\nCancelling job ${job.id}`)
    customization.cancelJob(job.id).then(
      () => process.exit(130),
      () => process.exit(130),
    )
  }
  process.on('SIGINT', stop)
  try {
    const status = await follow(clients, job)
    return { model: job.output_model ?? '', base: baseModel(config, job), status }
  } finally {
    process.off('SIGINT', stop)
  }
}

async function firstConfig({ customization }: Clients): Promise<Config> {
  const { data } = await customization.listConfigs({ page_size: '100' })
  const config = data.find((each) =>
    each.training_options.some((o) => o.training_type === 'sft' && o.finetuning_type === 'lora'),
  )
  if (!config) throw new DemoError('no customization config offers LoRA; see `nemoctl models list`')
  return config
}

function baseModel(config: Config, job: Job): string {
  const named = job.config_snapshot.base_model
  if (typeof named === 'string') return named
  if (typeof config.target === 'object' && config.target) return config.target.base_model
  throw new DemoError(`job ${job.id} does not say which model it tunes`)
}

/** Shows the loss as it comes, until the job has ended. Throws DemoError unless it is completed. */
async function follow({ customization }: Clients, job: Job): Promise<FlatStatus> {
  const line = liveLine(process.stdout)
  let state = ''
  for (;;) {
    const status = await customization.jobStatus(job.id)
    line.update(`   ${describe(status)}`, status.status !== state)
    state = status.status
    if (['completed', 'failed', 'cancelled'].includes(state)) {
      line.end()
      if (state === 'completed') return status
      throw new DemoError(`job ${job.id} is ${state}: ${lastDetail(status)}`)
    }
    await sleep(500)
  }
}

function describe(status: FlatStatus): string {
  const losses = points(status, 'train_loss').map((p) => p.value)
  const total = status.steps_per_epoch ? `/${status.steps_per_epoch * HYPERPARAMETERS.epochs}` : ''
  const validation = points(status, 'val_loss').at(-1)
  const message = status.status_logs.at(-1)
  if (losses.length === 0) {
    const detail = message?.detail ? `: ${message.detail}` : ''
    return `${status.status} (${message?.message ?? 'waiting'}${detail})`
  }
  const val = validation ? `, validation ${validation.value.toFixed(3)}` : ''
  return `${status.status} step ${status.steps_completed}${total}, loss ${losses.at(-1)?.toFixed(3)}${val}  ${sparkline(losses)}`
}

function lastDetail(status: FlatStatus): string {
  const log = status.status_logs.findLast((each) => each.detail) ?? status.status_logs.at(-1)
  return log?.detail ?? log?.message ?? 'no reason given'
}

function points(status: FlatStatus, key: string): Point[] {
  return status.metrics?.metrics[key] ?? []
}

/** The answers of both models to the first held-out messages, to look at. */
async function askBoth({ nim }: Clients, parts: Split, { base, model }: Tuned): Promise<Answered[]> {
  return mapLimited(parts.heldOut.slice(0, SHOWN_ANSWERS), CONCURRENT, async ({ question, answer }) => ({
    question,
    reference: answer,
    base: await ask(nim, base, question, MAX_TOKENS),
    tuned: await ask(nim, model, question, MAX_TOKENS),
  }))
}

/** Both models on all held-out messages, by evaluation jobs. */
async function evaluateBoth({ platform }: PlatformUrls, { base, model }: Tuned): Promise<Comparison> {
  const line = liveLine(process.stdout)
  const filesUrl = `hf://datasets/${NAMESPACE}/${DATASET}/testing`
  const evaluate = (name: string, of: string) =>
    evaluateModel({ platform, namespace: NAMESPACE, model: of, filesUrl, maxTokens: MAX_TOKENS }, (percent) =>
      line.update(`5. Evaluating the ${name} model: ${percent.toFixed(0)} %`),
    )
  const [ofBase, ofTuned] = [await evaluate('base', base), await evaluate('tuned', model)]
  line.end()
  console.log(`   jobs ${ofBase.job} and ${ofTuned.job}; a report of the second is in the archive at`)
  console.log(`   ${platform}/v1/evaluation/jobs/${ofTuned.job}/download-results`)
  return { base: ofBase.scores, tuned: ofTuned.scores }
}

function showLoss(status: FlatStatus): void {
  const losses = points(status, 'train_loss').map((p) => p.value)
  const validation = points(status, 'val_loss').map((p) => p.value.toFixed(3))
  if (losses.length === 0) return
  const range = `${losses[0]?.toFixed(3)} → ${losses.at(-1)?.toFixed(3)}`
  console.log(`training loss    ${sparkline(losses)}  ${range}`)
  if (validation.length) console.log(`validation loss  ${validation.join(' → ')}`)
}

async function writeFiles(
  out: string,
  tuned: Tuned,
  { comparison, answers }: { comparison: Comparison; answers: Answered[] },
): Promise<void> {
  const dir = resolve(out)
  await mkdir(dir, { recursive: true })
  const plot = join(dir, 'flywheel-loss.svg')
  const svg = lossSvg(tuned.model, points(tuned.status, 'train_loss'), points(tuned.status, 'val_loss'))
  await writeFile(plot, svg)
  const table = join(dir, 'flywheel-answers.json')
  await writeFile(
    table,
    `${JSON.stringify({ base: tuned.base, tuned: tuned.model, comparison, answers }, null, 2)}\n`,
  )
  console.log(`plot ${plot}\nanswers ${table}`)
}
