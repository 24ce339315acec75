// SPDX-License-Identifier: Apache-2.0
import { createReadStream } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { EvaluationDataset } from '@open-nemo/contract/evaluation/schemas.ts'
import { parseRows } from '../../data/rows.ts'
import type { Row, RunContext } from '../types.ts'
import type { Judgements } from './metrics.ts'

export interface Passage {
  id: string
  title: string
  text: string
}

/** A query with what else its line says. */
export interface Query extends Row {
  id: string
  text: string
}

/** A collection as BEIR lays it out: `corpus.jsonl`, `queries.jsonl` and `qrels/test.tsv` in one folder. */
export interface BeirSet {
  corpus(): AsyncIterable<Passage>
  queries(): AsyncIterable<Query>
  /** By query; the whole table is read. */
  judgements(): Promise<Map<string, Judgements>>
}

const SPLITS = ['test', 'dev', 'train']
const FILE_URL = /^file:\/\/(?:\/)?(?<name>[^/]+)\/?$/

/** The folder of a `file://<name>/` data set. Throws DATASET_UNREADABLE or DATASET_NOT_FOUND, also for a way out of it. */
export async function builtInFolder(url: string, datasetsDir: string | undefined): Promise<string> {
  const name = FILE_URL.exec(url)?.groups?.name ?? ''
  if (!datasetsDir) {
    const reason =
      'this platform has no folder of data sets: set NEMO_EVALUATOR_DATASETS to one, or upload it and use hf://datasets/…'
    throw errors.DATASET_UNREADABLE({ name: url, reason })
  }
  if (!/^[\w.-]+$/.test(name) || /^\.+$/.test(name)) {
    throw errors.DATASET_UNREADABLE({ name: url, reason: 'write file://<name>/, with the name of a folder' })
  }
  const root = await realpath(datasetsDir).catch(() => datasetsDir)
  // A link inside the folder may not lead out of it.
  const folder = await realpath(join(root, name)).catch(() => undefined)
  if (folder === undefined || !folder.startsWith(root + sep)) throw errors.DATASET_NOT_FOUND({ name: url })
  return folder
}

export const isBuiltIn = (dataset: EvaluationDataset) => urlOf(dataset).startsWith('file://')

const urlOf = (dataset: EvaluationDataset) => (typeof dataset === 'string' ? dataset : dataset.files_url)

/** Opens a BEIR collection, of the Data Store or of the configured folder. Throws as builtInFolder does. */
export async function openBeir(ctx: RunContext, dataset: EvaluationDataset): Promise<BeirSet> {
  const rows = await rowReader(ctx, dataset)
  const split = typeof dataset === 'string' ? undefined : (dataset.split ?? undefined)
  return {
    async *corpus() {
      for await (const row of rows('corpus.jsonl')) {
        yield { id: text(row._id ?? row.id), title: text(row.title), text: text(row.text ?? row.contents) }
      }
    },
    async *queries() {
      for await (const row of rows('queries.jsonl'))
        yield { ...row, id: text(row._id ?? row.id), text: text(row.text ?? row.query) }
    },
    judgements: () => readJudgements(rows, split ? [split] : SPLITS),
  }
}

type Rows = (path: string) => AsyncIterable<Row>

async function rowReader(ctx: RunContext, dataset: EvaluationDataset): Promise<Rows> {
  if (isBuiltIn(dataset)) {
    const folder = await builtInFolder(urlOf(dataset), ctx.settings.datasetsDir)
    return async function* (path) {
      const file = join(folder, path)
      await stat(file).catch(() => {
        throw errors.DATASET_NOT_FOUND({ name: `${urlOf(dataset)}${path}` })
      })
      yield* parseRows(path, createReadStream(file))
    }
  }
  const base = urlOf(dataset).replace(/\/+$/, '')
  const more = typeof dataset === 'string' ? {} : { hf_endpoint: dataset.hf_endpoint }
  return (path) => ctx.rows({ ...more, files_url: `${base}/${path}` })
}

async function readJudgements(rows: Rows, splits: string[]): Promise<Map<string, Judgements>> {
  let missing: unknown
  for (const split of splits) {
    for (const ending of ['tsv', 'csv', 'jsonl']) {
      try {
        return await gather(rows(`qrels/${split}.${ending}`))
      } catch (error) {
        if (!isMissing(error)) throw error
        missing ??= error
      }
    }
  }
  throw missing
}

const isMissing = (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === 'DATASET_NOT_FOUND'

async function gather(rows: AsyncIterable<Row>): Promise<Map<string, Judgements>> {
  const all = new Map<string, Map<string, number>>()
  for await (const row of rows) {
    const query = text(row['query-id'] ?? row.query_id)
    const score = Number(row.score ?? row.relevance ?? 1)
    if (!Number.isFinite(score)) throw new Error(`qrels: the score of query ${query} is no number`)
    const judged = all.get(query) ?? new Map<string, number>()
    judged.set(text(row['corpus-id'] ?? row.corpus_id ?? row.doc_id), score)
    all.set(query, judged)
  }
  return all
}

const text = (value: unknown) => (value === undefined || value === null ? '' : String(value))
