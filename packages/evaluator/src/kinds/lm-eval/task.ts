// SPDX-License-Identifier: Apache-2.0
import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EvaluationModel } from '@open-nemo/contract/evaluation/schemas.ts'
import { summarizeScores } from '../../metrics/stats.ts'
import { type ModelClient, ModelError } from '../../model/types.ts'
import { EvaluationFailure } from '../../runner/evaluate.ts'
import type { EvaluationTask, RunContext, Sample, SampleRecord, Summary } from '../types.ts'
import { keepAnswers } from './answers.ts'
import { startForwarder } from './forwarder.ts'
import { hubsOf } from './hub.ts'
import { writeLocalTask } from './local-task.ts'
import { LM_EVAL_DIR } from './names.ts'
import { endpointOf, type HarnessOptions, harnessOptions } from './options.ts'
import type { PlannedTask } from './plan.ts'
import { runHarness } from './process.ts'
import { harnessPython } from './python.ts'
import {
  groupOf,
  type HarnessResults,
  type HarnessSample,
  metricsOf,
  readSamples,
  sampleResult,
} from './results.ts'

const PROGRESS_MS = 10_000

/** A task that lm-eval runs in a process of its own, before its samples are recorded one by one. */
export function harnessTaskOf(ctx: RunContext, planned: PlannedTask, index: number): EvaluationTask {
  const { name } = planned
  let output = ''
  return {
    name,
    async prepare() {
      const dir = join(await ctx.workdir(), `lm-eval-${index}`)
      await mkdir(dir, { recursive: true })
      output = join(dir, 'output')
      const isDone = await access(join(output, 'results.json')).then(
        () => true,
        () => false,
      )
      if (!isDone) await run(ctx, planned, index, dir)
      await offerFiles(ctx, planned, dir)
    },
    async *samples(): AsyncGenerator<Sample> {
      let at = 0
      for await (const sample of readSamples(join(output, 'samples.jsonl'))) {
        yield { index: at++, item: sample.doc, recorded: { ...sample } }
      }
    },
    evaluate: async ({ recorded }) => sampleResult(recorded as unknown as HarnessSample),
    summarize: async (records) => summarize(planned, await resultsIn(output), records),
  }
}

async function resultsIn(output: string): Promise<HarnessResults> {
  return JSON.parse(await readFile(join(output, 'results.json'), 'utf8')) as HarnessResults
}

async function summarize(
  { name, harness }: PlannedTask,
  results: HarnessResults,
  records: AsyncIterable<SampleRecord>,
): Promise<Summary> {
  const stats = await summarizeScores(records)
  const group = harness.isGroup ? groupOf(name, results) : undefined
  const own = results.groups[name] ?? results.results[name] ?? results.results[harness.name]
  const metrics = own ? metricsOf(name, own, stats) : {}
  // A tag has no scores of its own: those of its tasks stand under their names.
  if (Object.keys(metrics).length === 0) {
    for (const [part, entry] of Object.entries(results.results)) {
      for (const [metric, found] of Object.entries(metricsOf(part, entry)))
        metrics[`${part}.${metric}`] = found
    }
  }
  const data = {
    lm_eval: { n_shot: results['n-shot'], n_samples: results['n-samples'], versions: results.versions },
    ...(group ? { group } : {}),
  }
  return { metrics, data }
}

async function run(ctx: RunContext, planned: PlannedTask, index: number, dir: string): Promise<void> {
  const { name } = planned
  const log = (message: string) => ctx.log(message, name)
  const { env } = ctx.settings
  const python = await harnessPython(ctx.cacheDir, env, log)
  const target = ctx.request.target.model as EvaluationModel
  const client = await ctx.model(target)
  const options = await optionsFor(ctx, planned, client)
  await needsTokenizer(client, options)
  if (planned.local) {
    const { task, dataset, fewshot } = planned.local
    await writeLocalTask(dir, {
      name,
      task,
      rows: ctx.rows(dataset),
      fewshot: fewshot ? ctx.rows(fewshot) : undefined,
    })
  }
  const answers = await keepAnswers(join(dir, 'answers.jsonl'), `lm-eval-${index}`, ctx.kept)
  const hubs = hubsOf({
    dataStoreUrl: ctx.dataStoreUrl,
    env,
    endpoint: options.hfEndpoint,
    token: options.hfToken,
  })
  const hub = { fetch: ctx.fetch, signal: ctx.signal, hubs, chosen: new Map(), away: new Map() }
  const forwarder = await startForwarder({ client, hub, log })
  const progress = reporter(log, () => answers.count())
  try {
    const operation = options.model === 'local-completions' ? 'completions' : 'chat/completions'
    const spec = {
      task: planned.local ? name : planned.harness.name,
      include_path: planned.local ? dir : null,
      model: options.model,
      model_args: { ...options.modelArgs, base_url: `${forwarder.url}/v1/${operation}` },
      options: options.options,
      answers: join(dir, 'answers.jsonl'),
      output: join(dir, 'output'),
    }
    await writeFile(join(dir, 'spec.json'), JSON.stringify(spec))
    log(`lm-eval evaluates ${spec.task} at ${client.url(operation)}`)
    await runHarness({
      python,
      program: join(LM_EVAL_DIR, 'run.py'),
      spec: join(dir, 'spec.json'),
      cwd: dir,
      env: childEnv(env, dir, forwarder),
      signal: ctx.signal,
      onEvent: progress.event,
      onLine: (line) => log(`lm-eval: ${line.slice(0, 500)}`),
    }).catch((cause: Error) => {
      if (ctx.signal.aborted) throw cause
      throw new EvaluationFailure(cause.message, { cause })
    })
  } finally {
    progress.stop()
    await forwarder.close()
    await answers.stop()
    await rm(join(dir, 'hf'), { recursive: true, force: true })
  }
}

async function optionsFor(
  ctx: RunContext,
  planned: PlannedTask,
  client: ModelClient,
): Promise<HarnessOptions> {
  // A server that does not tell the length of its contexts has lm-eval's default of 2048.
  const models = await client.get('models').catch(() => undefined)
  const list = Array.isArray(models?.data) ? (models.data as { id?: string; max_model_len?: unknown }[]) : []
  const length = list.find((one) => one.id === client.modelId)?.max_model_len
  return harnessOptions(planned, ctx.request.config.params ?? {}, {
    id: client.modelId,
    endpoint: endpointOf(client.given),
    parallelism: ctx.parallelism,
    ...(typeof length === 'number' ? { maxLength: length } : {}),
  })
}

async function needsTokenizer(client: ModelClient, { modelArgs }: HarnessOptions): Promise<void> {
  if (modelArgs.tokenizer_backend !== 'remote') return
  try {
    await client.get('tokenizer_info')
  } catch (err) {
    if (!(err instanceof ModelError)) throw err
    throw new EvaluationFailure(
      `log-probabilities need a tokenizer, and the model's server has none (${err.message}). ` +
        'Name one of a hub with params.extra.tokenizer',
    )
  }
}

/** What the process sees: no key but the forwarder's, and its folders. */
function childEnv(env: Record<string, string | undefined>, dir: string, at: { url: string; token: string }) {
  const { PATH, LANG, LD_LIBRARY_PATH } = env.PATH ? env : process.env
  return {
    PATH,
    LANG: LANG ?? 'C.UTF-8',
    LD_LIBRARY_PATH,
    HOME: dir,
    TMPDIR: dir,
    OPENAI_API_KEY: at.token,
    HF_ENDPOINT: `${at.url}/hub`,
    HF_TOKEN: at.token,
    HF_HOME: join(dir, 'hf'),
    HF_HUB_DISABLE_XET: '1',
    HF_HUB_DISABLE_TELEMETRY: '1',
    HF_HUB_DISABLE_PROGRESS_BARS: '1',
    NLTK_DATA: env.NLTK_DATA,
    NO_PROXY: '127.0.0.1',
    TOKENIZERS_PARALLELISM: 'false',
    PYTHONUNBUFFERED: '1',
    PYTHONDONTWRITEBYTECODE: '1',
    PYTHONUTF8: '1',
  }
}

/** Says how many requests there are, and every now and then how many have their answer. */
function reporter(log: (message: string) => void, count: () => number) {
  let asked = 0
  let told = -1
  const tell = () => {
    const now = count()
    if (asked > 0 && now !== told) log(`${now} of ${asked} requests are answered`)
    told = now
  }
  const timer = setInterval(tell, PROGRESS_MS)
  return {
    event(event: Record<string, unknown>) {
      if (typeof event.asked !== 'number') return
      asked += event.asked
      const known = Number(event.known)
      log(
        `${event.asked} requests to the model${known > 0 ? `, ${known} of them answered before this start` : ''}`,
      )
    },
    stop() {
      clearInterval(timer)
      tell()
    },
  }
}

/** What others need to run the same with lm-eval alone. */
async function offerFiles(ctx: RunContext, { name, local }: PlannedTask, dir: string): Promise<void> {
  await ctx.artifact(
    `lm-eval/${name}/results.json`,
    await readFile(join(dir, 'output', 'results.json'), 'utf8'),
  )
  if (local) await ctx.artifact(`lm-eval/${name}/task.yaml`, await readFile(join(dir, 'task.yaml'), 'utf8'))
}
