// SPDX-License-Identifier: Apache-2.0
import type { Database } from '@open-nemo/runtime'
import { presentDetails, presentJob } from '../jobs/present.ts'
import type { Job } from '../jobs/types.ts'
import { resultOfJob } from '../results/store.ts'
import { type LogLine, readSamples } from '../runner/recorder.ts'
import { reportOf } from './html.ts'
import type { ArchiveFile } from './zip.ts'

const PAGE = 1000

/** The files of a job's download: what was asked, the log, every sample, results, and a report to look at. */
export async function* filesOfJob(db: Database, job: Job): AsyncGenerator<ArchiveFile> {
  const { target, config } = presentJob(job)
  yield json('target.json', target)
  yield json('config.json', config)
  yield json('status.json', { id: job.id, status: job.status, ...presentDetails(job.state, job.status) })
  const result = await resultOfJob(db, job.id)
  if (result) yield json('results.json', result)
  yield logFile(db, job.id)
  for (const task of await tasksOf(db, job.id)) {
    yield { path: `samples/${fileName(task)}.jsonl`, content: sampleLines(db, job.id, task) }
  }
  yield { path: 'report.html', content: reportOf(db, job, result) }
  yield* artifacts(db, job.id)
}

/** The job's log as one text file. */
export function logFile(db: Database, id: string): ArchiveFile {
  return { path: 'logs.txt', content: logText(db, id) }
}

/** Log lines after `after`, oldest first, and the id of the last one. */
export async function readLogs(
  db: Database,
  id: string,
  after: number,
  limit: number,
): Promise<(LogLine & { id: number })[]> {
  return await db.query<LogLine & { id: number }>(
    `SELECT id::int AS id, at, task, message FROM evaluator.logs WHERE job = $1 AND id > $2 ORDER BY id LIMIT ${limit}`,
    [id, after],
  )
}

/** Names of the tasks that have recorded samples. */
export async function tasksOf(db: Database, id: string): Promise<string[]> {
  const rows = await db.query<{ task: string }>(
    'SELECT DISTINCT task FROM evaluator.samples WHERE job = $1 ORDER BY task',
    [id],
  )
  return rows.map((row) => row.task)
}

async function* logText(db: Database, id: string): AsyncGenerator<Uint8Array> {
  for (let after = 0; ; ) {
    const lines = await readLogs(db, id, after, PAGE)
    yield Buffer.from(
      lines.map(({ at, task, message }) => `${at} ${task ? `[${task}] ` : ''}${message}\n`).join(''),
    )
    const last = lines.at(-1)
    if (!last || lines.length < PAGE) return
    after = last.id
  }
}

async function* sampleLines(db: Database, id: string, task: string): AsyncGenerator<Uint8Array> {
  let text = ''
  for await (const record of readSamples(db, id, task)) {
    text += `${JSON.stringify(record)}\n`
    if (text.length < 256 * 1024) continue
    yield Buffer.from(text)
    text = ''
  }
  yield Buffer.from(text)
}

async function* artifacts(db: Database, id: string): AsyncGenerator<ArchiveFile> {
  const rows = await db.query<{ path: string }>(
    'SELECT path FROM evaluator.artifacts WHERE job = $1 ORDER BY path',
    [id],
  )
  for (const { path } of rows) {
    const [row] = await db.query<{ content: Uint8Array }>(
      'SELECT content FROM evaluator.artifacts WHERE job = $1 AND path = $2',
      [id, path],
    )
    yield {
      path: `artifacts/${path.split('/').map(fileName).join('/')}`,
      content: once(row?.content ?? new Uint8Array()),
    }
  }
}

function json(path: string, value: unknown): ArchiveFile {
  return { path, content: once(Buffer.from(`${JSON.stringify(value, null, 2)}\n`)) }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** A name of a user's as a file name that every system takes. */
function fileName(name: string): string {
  return name.replace(/[^\w.@+-]/g, '_').replace(/^\.+/, '_') || '_'
}
