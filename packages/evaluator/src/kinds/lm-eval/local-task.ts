// SPDX-License-Identifier: Apache-2.0
import { createWriteStream } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { TaskConfig } from '@open-nemo/contract/evaluation/schemas.ts'
import type { Row } from '../types.ts'

type Tree = Record<string, unknown>

/** A task of lm-eval on rows of the user's own. */
export interface LocalTask {
  /** What its YAML says, without the files. */
  yaml: Tree & { output_type: string }
  /** Templates in it, each with its place. */
  templates: { value: unknown; where: string }[]
}

const OUTPUT_TYPES = ['multiple_choice', 'loglikelihood', 'loglikelihood_rolling', 'generate_until']
/** Only what cannot name programs: `process_docs`, `dataset_path` and their like are left out on purpose. */
const PARAMS = [
  'output_type',
  'doc_to_text',
  'doc_to_target',
  'doc_to_choice',
  'metric_list',
  'num_fewshot',
  'generation_kwargs',
  'filter_list',
  'description',
  'target_delimiter',
  'fewshot_delimiter',
  'gen_prefix',
  'repeats',
]
const ELSEWHERE = ['fewshot_dataset', 'task', 'extra']
const TEMPLATES = ['doc_to_text', 'doc_to_target', 'doc_to_choice', 'description', 'gen_prefix']
const METRICS = [
  'acc',
  'acc_norm',
  'acc_bytes',
  'acc_mutual_info',
  'acc_all',
  'exact_match',
  'f1',
  'mcc',
  'brier_score',
  'likelihood',
  'perplexity',
  'word_perplexity',
  'byte_perplexity',
  'bits_per_byte',
  'bleu',
  'chrf',
  'chrf++',
  'ter',
]
const FILTERS = [
  'regex',
  'regex_pos',
  'multi_choice_regex',
  'take_first',
  'take_first_k',
  'majority_vote',
  'lowercase',
  'uppercase',
  'map',
  'remove_whitespace',
  'format_span',
]

/** A task's parameters as lm-eval's YAML has them. Throws CONFIG_INVALID and UNSUPPORTED_METRIC. */
export function localTask(name: string, task: TaskConfig): LocalTask {
  const where = `tasks.${name}.params`
  const params = { ...task.params }
  const bad = (field: string, reason: string) =>
    errors.CONFIG_INVALID({ where: `${where}.${field}`, reason, field: `${where}.${field}` })
  const other = Object.keys(params).find((key) => !PARAMS.includes(key) && !ELSEWHERE.includes(key))
  if (other) {
    throw bad(other, `is not taken for a task on data of your own; known are ${PARAMS.join(', ')}`)
  }
  const output_type = String(
    params.output_type ?? (params.doc_to_choice ? 'multiple_choice' : 'generate_until'),
  )
  if (!OUTPUT_TYPES.includes(output_type))
    throw bad('output_type', `must be one of ${OUTPUT_TYPES.join(', ')}`)
  for (const field of ['doc_to_text', 'doc_to_target']) {
    if (params[field] === undefined || params[field] === null) throw bad(field, 'is missing')
  }
  if (output_type === 'multiple_choice' && !params.doc_to_choice) throw bad('doc_to_choice', 'is missing')
  const metric_list = metricsOf(name, task, output_type)
  const unknown = filterFunctions(params.filter_list).find((one) => !FILTERS.includes(one))
  if (unknown) throw bad('filter_list', `has function ${unknown}; known are ${FILTERS.join(', ')}`)
  const yaml: Tree & { output_type: string } = { output_type, metric_list }
  for (const key of PARAMS) {
    if (params[key] !== undefined && params[key] !== null && !(key in yaml)) yaml[key] = params[key]
  }
  if (output_type === 'generate_until') yaml.generation_kwargs ??= { until: ['\n\n'], do_sample: false }
  return {
    yaml,
    templates: TEMPLATES.map((key) => ({ value: params[key], where: `${where}.${key}` })).filter(
      ({ value }) => typeof value === 'string' || Array.isArray(value),
    ),
  }
}

function metricsOf(name: string, task: TaskConfig, outputType: string): Tree[] {
  const written = asList(task.params?.metric_list) as Tree[]
  const asked = Object.values(task.metrics ?? {}).map(({ type, params }) => ({ metric: type, ...params }))
  const standard = {
    multiple_choice: ['acc', 'acc_norm'],
    loglikelihood: ['perplexity', 'acc'],
    loglikelihood_rolling: ['word_perplexity', 'byte_perplexity', 'bits_per_byte'],
  }[outputType] ?? ['exact_match']
  const list =
    written.length > 0 ? written : asked.length > 0 ? asked : standard.map((metric) => ({ metric }))
  for (const { metric } of list) {
    if (!METRICS.includes(String(metric))) {
      throw errors.UNSUPPORTED_METRIC({
        metric: String(metric),
        task: name,
        type: String(metric),
        known: METRICS.join(', '),
      })
    }
  }
  return list
}

function filterFunctions(list: unknown): string[] {
  const filters = asList(list) as { filter?: unknown }[]
  return filters.flatMap(({ filter }) => asList(filter)).map((step) => String((step as Tree).function))
}

const asList = (value: unknown): unknown[] => (Array.isArray(value) ? value : [])

/** Writes a task's rows and its YAML into a folder that lm-eval is told of. */
export async function writeLocalTask(
  dir: string,
  local: { name: string; task: LocalTask; rows: AsyncIterable<Row>; fewshot: AsyncIterable<Row> | undefined },
): Promise<void> {
  const data_files: Record<string, string> = { test: join(dir, 'rows.jsonl') }
  await writeRows(data_files.test ?? '', local.rows)
  if (local.fewshot) {
    data_files.fewshot = join(dir, 'fewshot.jsonl')
    await writeRows(data_files.fewshot, local.fewshot)
  }
  const task = {
    task: local.name,
    dataset_path: 'json',
    dataset_kwargs: { data_files },
    test_split: 'test',
    ...(local.fewshot ? { fewshot_split: 'fewshot' } : {}),
    ...local.task.yaml,
    metadata: { version: 1 },
  }
  await writeFile(join(dir, 'task.yaml'), toYaml(task))
}

async function writeRows(path: string, rows: AsyncIterable<Row>): Promise<void> {
  const lines = (async function* () {
    for await (const row of rows) yield `${JSON.stringify(row)}\n`
  })()
  await pipeline(Readable.from(lines), createWriteStream(`${path}.tmp`))
  await rename(`${path}.tmp`, path)
}

/** JSON is YAML, but for the line ends that only YAML knows. */
function toYaml(value: unknown): string {
  return JSON.stringify(value, undefined, 2).replace(
    /[\u0085\u2028\u2029\ufeff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
