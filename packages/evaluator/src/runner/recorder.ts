// SPDX-License-Identifier: Apache-2.0
import { nowMicros } from '@open-nemo/contract'
import type { Database } from '@open-nemo/runtime'
import type { Redactor } from '../entities/secrets.ts'
import type { SampleRecord } from '../kinds/types.ts'

export interface LogLine {
  at: string
  task: string
  message: string
}

/** Where the samples, log lines and files of a run go. */
export interface Recorder {
  /** Indexes of the samples of a task that are recorded already, and how many of them failed and were retried. */
  known(task: string): Promise<{ indexes: Set<number>; failed: number; retries: number }>
  /** Stores the sample; resolves before it is stored while not too many wait. Rejects once a write has failed. */
  add(task: string, record: SampleRecord): Promise<void>
  /** All samples of a task in the order of their index. */
  records(task: string): AsyncIterable<SampleRecord>
  log(line: Omit<LogLine, 'at'>): void
  artifact(path: string, content: string | Uint8Array): Promise<void>
  /** Waits for what is still being written. */
  flush(): Promise<void>
}

const PAGE = 500
/** So many samples may wait for the database; a crash costs their evaluation. */
const BACKLOG = 1000

/**
 * Records a job's run in the database. Samples that complete while a write is on its way go into the next one
 * together, so that quick metrics are not slowed down by the database.
 */
export function createDatabaseRecorder(db: Database, job: string, redact: Redactor): Recorder {
  const samples = createBatcher<{ task: string; record: SampleRecord }>((batch) =>
    insertSamples(db, job, batch),
  )
  const logs = createBatcher<LogLine>((batch) => insertLogs(db, job, batch))
  return {
    async known(task) {
      const rows = await db.query<{ idx: number; is_failed: boolean; retries: number }>(
        'SELECT idx, is_failed, retries FROM evaluator.samples WHERE job = $1 AND task = $2',
        [job, task],
      )
      return {
        indexes: new Set(rows.map((row) => row.idx)),
        failed: rows.filter((row) => row.is_failed).length,
        retries: rows.reduce((sum, row) => sum + row.retries, 0),
      }
    },
    add: (task, record) => samples.add({ task, record: redact.value(record) }),
    records: (task) => readSamples(db, job, task),
    log: ({ task, message }) => {
      const line = { at: nowMicros(), task, message: storable(redact.text(message)) }
      void logs.add(line).catch(() => undefined)
    },
    async artifact(path, content) {
      const bytes = typeof content === 'string' ? Buffer.from(redact.text(content)) : content
      await db.query(
        `INSERT INTO evaluator.artifacts (job, path, content) VALUES ($1, $2, $3)
         ON CONFLICT (job, path) DO UPDATE SET content = excluded.content`,
        [job, path, bytes],
      )
    },
    async flush() {
      await samples.idle()
      await logs.idle().catch(() => undefined)
    },
  }
}

/** Keeps a run in memory, for live evaluations. */
export function createMemoryRecorder(redact: Redactor): Recorder & { lines: LogLine[] } {
  const tasks = new Map<string, SampleRecord[]>()
  const lines: LogLine[] = []
  return {
    lines,
    known: async () => ({ indexes: new Set(), failed: 0, retries: 0 }),
    async add(task, record) {
      const list = tasks.get(task) ?? []
      list.push(redact.value(record))
      tasks.set(task, list)
    },
    async *records(task) {
      yield* (tasks.get(task) ?? []).sort((a, b) => a.index - b.index)
    },
    log: ({ task, message }) => {
      lines.push({ at: nowMicros(), task, message: redact.text(message) })
    },
    artifact: async () => undefined,
    flush: async () => undefined,
  }
}

/**
 * One write at a time, begun with the first value; what comes meanwhile goes into the next, at most `PAGE` at once.
 * Only when many wait does a caller wait as well.
 */
function createBatcher<T>(write: (batch: T[]) => Promise<void>) {
  let waiting: T[] = []
  let writing: Promise<void> | undefined
  let failure: { err: unknown } | undefined
  const writeAll = async () => {
    while (waiting.length > 0 && !failure) {
      const batch = waiting.slice(0, PAGE)
      waiting = waiting.slice(PAGE)
      try {
        await write(batch)
      } catch (err) {
        failure = { err }
      }
    }
    writing = undefined
  }
  const check = () => {
    if (failure) throw failure.err
  }
  return {
    async add(value: T): Promise<void> {
      check()
      waiting.push(value)
      writing ??= writeAll()
      if (waiting.length >= BACKLOG) await writing
    },
    async idle(): Promise<void> {
      await writing
      check()
    },
  }
}

async function insertSamples(
  db: Database,
  job: string,
  batch: { task: string; record: SampleRecord }[],
): Promise<void> {
  const rows = batch.map(({ task, record }) => ({
    task,
    idx: record.index,
    is_failed: record.error !== null,
    retries: record.retries,
    record,
  }))
  // A sample that another worker recorded meanwhile stays as it is.
  await db.query(
    `INSERT INTO evaluator.samples (job, task, idx, is_failed, retries, record)
     SELECT $1, r->>'task', (r->>'idx')::int, (r->>'is_failed')::boolean, (r->>'retries')::int, r->'record'
     FROM jsonb_array_elements($2::jsonb) AS r ON CONFLICT DO NOTHING`,
    [job, storable(JSON.stringify(rows))],
  )
}

async function insertLogs(db: Database, job: string, batch: LogLine[]): Promise<void> {
  await db.query(
    `INSERT INTO evaluator.logs (job, at, task, message)
     SELECT $1, r->>'at', r->>'task', r->>'message' FROM jsonb_array_elements($2::jsonb) AS r`,
    [job, storable(JSON.stringify(batch))],
  )
}

/** The samples of a task, read page by page in the order of their index. */
export async function* readSamples(db: Database, job: string, task: string): AsyncGenerator<SampleRecord> {
  for (let after = -1; ; ) {
    const rows = await db.query<{ idx: number; record: SampleRecord }>(
      `SELECT idx, record FROM evaluator.samples WHERE job = $1 AND task = $2 AND idx > $3
       ORDER BY idx LIMIT ${PAGE}`,
      [job, task, after],
    )
    for (const row of rows) yield row.record
    const last = rows.at(-1)
    if (rows.length < PAGE || !last) return
    after = last.idx
  }
}

/** JSON text that PostgreSQL takes: it refuses U+0000 and half surrogate pairs, which a model's answer may hold. */
export function storable(json: string): string {
  return json.replace(/\\(?:\\|u(?:0000|d[89a-f][0-9a-f]{2}))/gi, (found) =>
    found === '\\\\' ? found : '\ufffd',
  )
}
