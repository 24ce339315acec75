// SPDX-License-Identifier: Apache-2.0
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream } from 'node:stream/web'
import type { DataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import { createLineChecker, DataError } from './lines.ts'
import { rowCheck } from './rows.ts'
import { clientOf, type DataFile, type DataSource, listFiles, type SourceContext } from './source.ts'

/** A job's data on the disk: absolute paths and how many rows each kind has. */
export interface LocalData {
  training: string[]
  validation: string[]
  trainingRows: number
  validationRows: number
}

export interface DownloadRequest {
  source: DataSource
  /** Folder that takes the files; what is complete in it is not fetched again. */
  folder: string
  promptTemplate: string
  /** The job's training_type, or `embedding`: it says what a row must have. */
  training: string
  /** Given to the chats that name no tools of their own. */
  tools: Record<string, unknown>[] | null
  signal: AbortSignal
  onFile?: (path: string) => void
}

/** Fetches a job's files and checks every line on the way. Throws DataError naming file and line. */
export async function downloadData(ctx: SourceContext, request: DownloadRequest): Promise<LocalData> {
  const files = await listFiles(ctx, request.source)
  const client = clientOf(ctx, request.source)
  // The commit is pinned, so that a push between two files mixes nothing.
  const revision = await client.resolveRevision({
    type: request.source.type,
    id: request.source.id,
    revision: request.source.revision ?? 'main',
  })
  const fetchAll = async (list: DataFile[], limit: number) => {
    let rows = 0
    const paths: string[] = []
    for (const file of list) {
      if (rows >= limit) break
      request.onFile?.(file.path)
      const done = await fetchOne(client, { ...request, file, revision, limit: limit - rows })
      paths.push(done.path)
      rows += done.rows
    }
    return { paths, rows }
  }
  const training = await fetchAll(files.training, request.source.limit ?? Number.POSITIVE_INFINITY)
  const validation = await fetchAll(files.validation, Number.POSITIVE_INFINITY)
  return {
    training: training.paths,
    validation: validation.paths,
    trainingRows: training.rows,
    validationRows: validation.rows,
  }
}

async function fetchOne(
  client: DataStoreClient,
  request: DownloadRequest & { file: DataFile; revision: string; limit: number },
): Promise<{ path: string; rows: number }> {
  const { file, revision, source, signal } = request
  const path = join(request.folder, file.path)
  const marker = `${path}.rows`
  const known = await readFile(marker, 'utf8').catch(() => '')
  if (known.startsWith(`${revision} `)) return { path, rows: Number(known.split(' ')[1]) }
  if (file.size === 0) throw new DataError(file.path, 'the file is empty')
  await mkdir(dirname(path), { recursive: true })
  const checker = createLineChecker(file.path, rowCheck(request.training, request.promptTemplate))
  const check = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        checker.write(chunk)
        done(null, chunk)
      } catch (err) {
        done(err as Error)
      }
    },
  })
  const part = `${path}.part`
  try {
    const target = { type: source.type, id: source.id, revision, path: file.path, signal }
    const { stream, size } = await client.download(target)
    const input = Readable.fromWeb(stream as unknown as ReadableStream)
    let received = 0
    input.on('data', (chunk: Buffer) => {
      received += chunk.length
    })
    await pipeline(input, check, createWriteStream(part), { signal })
    if (received < size) throw new Error(`${file.path}: the download ended at byte ${received} of ${size}`)
    const rows = Math.min(checker.flush(), request.limit)
    if (request.tools || rows === request.limit) await rewrite(part, rows, request.tools)
    await rename(part, path)
    await writeFile(marker, `${revision} ${rows}`)
    return { path, rows }
  } catch (err) {
    await rm(part, { force: true })
    throw err
  }
}

/** Rewrites a checked file: its first `rows` rows, and `tools` in every chat that has none. */
async function rewrite(path: string, rows: number, tools: DownloadRequest['tools']): Promise<void> {
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })
  async function* rewritten(): AsyncGenerator<string> {
    let kept = 0
    for await (const line of lines) {
      const text = line.replace(/^\ufeff/, '')
      const isBlank = text.trim() === ''
      if (!isBlank && kept++ === rows) break
      // Blank lines stay, so that errors name the lines of the user's file.
      yield `${tools && !isBlank ? withTools(text, tools) : text}\n`
    }
  }
  await pipeline(Readable.from(rewritten()), createWriteStream(`${path}.new`))
  await rename(`${path}.new`, path)
}

function withTools(line: string, tools: Record<string, unknown>[]): string {
  const row = JSON.parse(line)
  const isChat = 'messages' in row || Array.isArray(row.prompt)
  return isChat && row.tools == null ? JSON.stringify({ ...row, tools }) : line
}
