// SPDX-License-Identifier: Apache-2.0
import type { GroupResult, MetricResult, TaskResult } from '@open-nemo/contract/evaluation/results.ts'
import type {
  ConfigSpec,
  EvaluationDataset,
  EvaluationModel,
  TargetSpec,
} from '@open-nemo/contract/evaluation/schemas.ts'
import type { EvaluatorConfig } from '../config.ts'
import type { ModelClient, ModelOptions } from '../model/types.ts'
import type { Kept } from '../runner/kept.ts'
import type { TemplateEngine } from '../templates/types.ts'
import type { VectorIndex } from '../vectors/types.ts'

/** What is evaluated, and how; secrets are in clear. */
export interface EvaluationRequest {
  target: TargetSpec
  config: ConfigSpec
}

export type Row = Record<string, unknown>

/** One thing to evaluate. `index` counts from 0 in its task and is the same in every run of a job. */
export interface Sample {
  index: number
  item: Row
  /** What was recorded for the item, where that comes from another file. */
  recorded?: Row
}

/** A score of one sample; null where it could not be told (NaN). */
export type ScoreValue = number | null

/** What came of a sample. It is stored, and shown in the report, with secrets masked. */
export interface SampleResult {
  /** By metric, then by score. */
  scores: Record<string, Record<string, ScoreValue>>
  /** What was asked, said and expected, for people. */
  shown?: { input?: string; output?: string; reference?: string; [more: string]: string | undefined }
  /** What `summarize` needs beside the scores. */
  data?: Record<string, unknown>
}

/** A sample as stored. One that failed has an `error` and no scores. */
export interface SampleRecord extends SampleResult {
  index: number
  item: Row
  error: string | null
  /** Requests that were sent again after a rate limit, a server error or a lost connection. */
  retries: number
  ms: number
}

/** What a task gives once all its samples are recorded. */
export interface Summary {
  metrics: Record<string, MetricResult>
  data?: Record<string, unknown>
}

/** One entry of `results.tasks`. Its samples are evaluated side by side, in any order, and each is stored at once. */
export interface EvaluationTask {
  name: string
  /** How many samples there are, when that is known before they are read; before any limit. */
  total?: number | undefined
  /** Runs once before the samples, also when a job is resumed: building an index, say. */
  prepare?(): Promise<void>
  samples(): AsyncIterable<Sample>
  /** Throws for a sample that cannot be evaluated: it is reported, and the job goes on. */
  evaluate(sample: Sample): Promise<SampleResult>
  /** `records` are in the order of their index; those with an `error` are among them. */
  summarize(records: AsyncIterable<SampleRecord>): Promise<Summary>
  /** Releases what `prepare` made; runs also after a failure. */
  close?(): Promise<void>
}

/** What a kind may look at when a job is created. Each throws the API error that names the field at fault. */
export interface CheckContext {
  settings: EvaluatorConfig
  /** That a Jinja template, or all strings of a JSON template, can be parsed. */
  template(template: unknown, where: string): Promise<void>
  /** That a regular expression can be parsed. */
  pattern(pattern: string, where: string): Promise<void>
  /** That a model can be found. */
  model(model: EvaluationModel, where: string): Promise<void>
  /** That a dataset has readable files. */
  dataset(dataset: EvaluationDataset, where: string): Promise<void>
  /** Set while the request is a live evaluation, which answers at once. */
  isLive: boolean
}

/** What a kind works with while a job runs. */
export interface RunContext {
  jobId: string
  request: EvaluationRequest
  settings: EvaluatorConfig
  /** Aborted when the job is cancelled or the service stops. */
  signal: AbortSignal
  fetch: typeof globalThis.fetch
  templates: TemplateEngine
  /** Requests to the model under test at one time: `params.parallelism`, or the default. */
  parallelism: number
  /** Rows of json, jsonl and csv files, streamed; honours the dataset's own limit. */
  rows(dataset: EvaluationDataset): AsyncIterable<Row>
  /** An empty index for vectors, in the store that is configured; its user closes it. */
  openIndex(name: string): Promise<VectorIndex>
  /** A client that retries, waits for its turn, and counts into the sample it is called for. */
  model(model: EvaluationModel, options?: ModelOptions): Promise<ModelClient>
  /** A line of the job's log; secrets are masked. */
  log(message: string, task?: string): void
  /** A folder of this job on the local disk; it may be empty again after a restart elsewhere. */
  workdir(): Promise<string>
  /** Texts that outlive the work folder, until the job has ended. */
  kept: Kept
  /** Downloads that jobs share. */
  cacheDir: string
  dataStoreUrl: string
  /** Adds a file to the job's downloads. Secrets are masked in text files. */
  artifact(path: string, content: string | Uint8Array): Promise<void>
}

/** A family of evaluations, chosen by `config.type`. */
export interface EvaluationKind {
  name: string
  /** Values of `config.type` for people, such as `custom`; patterns where there are many. */
  types: readonly string[]
  handles(type: string): boolean
  /** Refuses at creation what could not run, by throwing an error of `evaluationErrors`. */
  check(request: EvaluationRequest, ctx: CheckContext): Promise<void>
  tasks(ctx: RunContext): Promise<EvaluationTask[]>
  /** `results.groups`, from the tasks' results. */
  groups?(
    tasks: Record<string, TaskResult>,
    request: EvaluationRequest,
  ): Record<string, GroupResult> | undefined
}
