// SPDX-License-Identifier: Apache-2.0
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import { createGzip } from 'node:zlib'
import { tar } from './tar.ts'
import { type ArchiveFile, zip } from './zip.ts'

/** A ZIP archive as an answer, streamed. */
export function zipResponse(files: AsyncIterable<ArchiveFile>, name: string): Response {
  return streamed(Readable.from(zip(files)), 'application/zip', name)
}

/** A gzipped tar archive as an answer, streamed. */
export function tarResponse(files: AsyncIterable<ArchiveFile>, name: string): Response {
  const source = Readable.from(tar(files))
  const gzip = createGzip()
  source.on('error', (err) => gzip.destroy(err))
  return streamed(source.pipe(gzip), 'application/octet-stream', name)
}

function streamed(stream: Readable, type: string, name: string): Response {
  const body = Readable.toWeb(stream) as NodeReadableStream as unknown as ReadableStream
  return new Response(body, {
    headers: { 'content-type': type, 'content-disposition': `attachment; filename="${name}"` },
  })
}
