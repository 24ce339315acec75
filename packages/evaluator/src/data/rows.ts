// SPDX-License-Identifier: Apache-2.0
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { EvaluationDataset } from '@open-nemo/contract/evaluation/schemas.ts'
import type { Row } from '../kinds/types.ts'
import { parseCsv } from './csv.ts'
import { type DataContext, type DataFile, type DataSource, listFiles, resolveSource } from './source.ts'

export type { DataContext } from './source.ts'

const READABLE = /\.(jsonl|ndjson|json|csv)$/i

/** That a dataset exists and has a file that can be read; nothing of it is read. */
export async function checkDataset(ctx: DataContext, dataset: EvaluationDataset): Promise<void> {
  await filesOf(await resolveSource(ctx, dataset))
}

async function filesOf(source: DataSource): Promise<DataFile[]> {
  const files = await listFiles(source, (path) => READABLE.test(path))
  if (files.length > 0 && files.every((file) => READABLE.test(file.path) || isTable(file, source)))
    return files
  throw errors.DATASET_UNREADABLE({ name: source.label, reason: 'it has no .json, .jsonl or .csv file' })
}

/** Tables of tabs, such as BEIR's judgements, are only read when they are asked for by name. */
const isTable = (file: DataFile, source: DataSource) =>
  file.path === source.ref.path && /\.tsv$/i.test(file.path)

/** The rows of a dataset, file by file, as they come over the wire. Throws Errors that name file and line. */
export async function* readRows(
  ctx: DataContext,
  dataset: EvaluationDataset,
  signal: AbortSignal,
): AsyncGenerator<Row> {
  const source = await resolveSource(ctx, dataset)
  let left = source.limit ?? Number.POSITIVE_INFINITY
  for (const file of await filesOf(source)) {
    for await (const row of fileRows(source, file.path, signal)) {
      if (left-- <= 0) return
      yield row
    }
  }
}

async function* fileRows(source: DataSource, path: string, signal: AbortSignal): AsyncGenerator<Row> {
  const { ref, client } = source
  const target = {
    type: ref.type,
    id: ref.id,
    path,
    signal,
    ...(ref.revision ? { revision: ref.revision } : {}),
  }
  const { stream, size } = await client.download(target)
  const chunks = checked(stream as unknown as AsyncIterable<Uint8Array>, size, path)
  yield* parseRows(path, chunks)
}

/** A download that ends early is an error, not a shorter dataset. */
async function* checked(
  chunks: AsyncIterable<Uint8Array>,
  size: number | undefined,
  path: string,
): AsyncGenerator<Uint8Array> {
  let received = 0
  for await (const chunk of chunks) {
    received += chunk.byteLength
    yield chunk
  }
  if (size !== undefined && received < size) {
    throw new Error(`${path}: the download ended at byte ${received} of ${size}`)
  }
}

/** Rows of one file by its name's ending. */
export async function* parseRows(path: string, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Row> {
  const texts = decoded(path, chunks)
  if (/\.[ct]sv$/i.test(path)) yield* parseCsv(path, texts)
  else if (/\.json$/i.test(path)) yield* parseJson(path, texts)
  else yield* parseLines(path, texts)
}

async function* decoded(path: string, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  // The decoder drops a byte order mark.
  const decoder = new TextDecoder('utf-8', { fatal: true })
  try {
    for await (const chunk of chunks) yield decoder.decode(chunk, { stream: true })
    yield decoder.decode()
  } catch (err) {
    throw err instanceof TypeError ? new Error(`${path}: is not UTF-8`) : err
  }
}

const MAX_LINE = 64 * 1024 * 1024

async function* parseLines(path: string, texts: AsyncIterable<string>): AsyncGenerator<Row> {
  let rest = ''
  let number = 0
  const toRow = (line: string): Row | undefined => {
    number++
    return line.trim() === '' ? undefined : rowOf(parseAt(`${path}:${number}`, line), `${path}:${number}`)
  }
  for await (const text of texts) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > MAX_LINE)
      throw new Error(`${path}:${number + 1}: the line is longer than 64 Mi characters`)
    for (const line of lines) {
      const row = toRow(line)
      if (row) yield row
    }
  }
  const row = toRow(rest)
  if (row) yield row
}

/** A JSON file is an array of rows, an object with them in `data` or `rows`, one row, or lines after all. */
async function* parseJson(path: string, texts: AsyncIterable<string>): AsyncGenerator<Row> {
  const parts: string[] = []
  let length = 0
  for await (const text of texts) {
    parts.push(text)
    length += text.length
    if (length > MAX_LINE * 4)
      throw new Error(`${path}: is too large for one JSON document; use .jsonl, which is streamed`)
  }
  const whole = parts.join('')
  let value: unknown
  try {
    value = JSON.parse(whole)
  } catch (err) {
    if (!/^\s*\{[^\n]*\}\s*\n\s*\{/.test(whole)) throw new Error(`${path}: is not JSON: ${messageOf(err)}`)
    yield* parseLines(path, one(whole))
    return
  }
  const rows = rowsIn(value)
  for (const [i, row] of rows.entries()) yield rowOf(row, `${path}[${i}]`)
}

async function* one(text: string): AsyncGenerator<string> {
  yield text
}

function rowsIn(value: unknown): unknown[] {
  if (Array.isArray(value)) return value
  const { data, rows } = (value ?? {}) as { data?: unknown; rows?: unknown }
  const found = [data, rows].find(Array.isArray)
  return (found as unknown[] | undefined) ?? [value]
}

function parseAt(where: string, line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (err) {
    throw new Error(`${where}: is not JSON: ${messageOf(err)}`)
  }
}

function rowOf(value: unknown, where: string): Row {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Row
  throw new Error(`${where}: a row must be a JSON object`)
}

function messageOf(err: unknown): string {
  return err instanceof Error ? err.message : String(err)
}
