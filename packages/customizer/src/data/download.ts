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
import { templateFields } from './rows.ts'
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
  const fetchAll = async (list: DataFile[]) => {
    let rows = 0
    const paths: string[] = []
    for (const file of list) {
      request.onFile?.(file.path)
      const done = await fetchOne(client, { ...request, file, revision })
      paths.push(done.path)
      rows += done.rows
    }
    return { paths, rows }
  }
  const training = await fetchAll(files.training)
  const validation = await fetchAll(files.validation)
  return {
    training: training.paths,
    validation: validation.paths,
    trainingRows: training.rows,
    validationRows: validation.rows,
  }
}

async function fetchOne(
  client: DataStoreClient,
  request: DownloadRequest & { file: DataFile; revision: string },
): Promise<{ path: string; rows: number }> {
  const { file, revision, source, signal } = request
  const path = join(request.folder, file.path)
  const marker = `${path}.rows`
  const known = await readFile(marker, 'utf8').catch(() => '')
  if (known.startsWith(`${revision} `)) return { path, rows: Number(known.split(' ')[1]) }
  if (file.size === 0) throw new DataError(file.path, 'the file is empty')
  await mkdir(dirname(path), { recursive: true })
  const checker = createLineChecker(file.path, templateFields(request.promptTemplate))
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
    const rows = checker.flush()
    if (request.tools) await addTools(part, request.tools)
    await rename(part, path)
    await writeFile(marker, `${revision} ${rows}`)
    return { path, rows }
  } catch (err) {
    await rm(part, { force: true })
    throw err
  }
}

/** Rewrites a checked file so that every chat without tools has these. */
async function addTools(path: string, tools: Record<string, unknown>[]): Promise<void> {
  const lines = createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })
  async function* rewritten(): AsyncGenerator<string> {
    for await (const line of lines) {
      const text = line.replace(/^\ufeff/, '')
      const row = text.trim() ? JSON.parse(text) : undefined
      const lacks = row !== undefined && 'messages' in row && row.tools == null
      yield `${lacks ? JSON.stringify({ ...row, tools }) : text}\n`
    }
  }
  await pipeline(Readable.from(rewritten()), createWriteStream(`${path}.tools`))
  await rename(`${path}.tools`, path)
}
