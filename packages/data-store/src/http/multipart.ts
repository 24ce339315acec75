// SPDX-License-Identifier: Apache-2.0
import { Readable } from 'node:stream'
import { Busboy, type BusboyInstance } from '@fastify/busboy'
import { invalid } from '@open-nemo/contract'
import { FileSink } from '../storage/file-sink.ts'
import type { Reservation } from '../storage/quota.ts'

/** A form with one file, which lies on the disk. */
export interface UploadedForm {
  fields: Record<string, string>
  file: { sink: FileSink; filename: string } | undefined
}

const LIMITS = { files: 1, fields: 20, fieldSize: 64 * 1024, headerPairs: 100 }

/**
 * Reads a multipart form as it comes; the file named `name` goes to `path`. Throws a 422 naming the field for anything
 * that is no such form; then nothing is left on the disk.
 */
export async function readForm(
  body: AsyncIterable<Uint8Array>,
  contentType: string,
  { name, path, maxBytes, room }: { name: string; path: string; maxBytes: number; room: Reservation },
): Promise<UploadedForm> {
  const form: UploadedForm = { fields: {}, file: undefined }
  let writing: Promise<void> = Promise.resolve()
  const parser = makeParser(contentType, maxBytes)
  parser.on('field', (key, value, _name, isCut) => {
    if (isCut) parser.destroy(invalid(['body', key], `is longer than ${LIMITS.fieldSize} bytes`))
    form.fields[key] = value
  })
  parser.on('file', (key, stream, filename) => {
    if (key !== name) {
      stream.resume()
      parser.destroy(invalid(['body', key], `files are sent as "${name}"`))
      return
    }
    // A form that ends early breaks the stream before anybody reads it.
    stream.on('error', () => {})
    writing = store(stream, path, room).then((sink) => {
      form.file = { sink, filename: filename ?? '' }
    })
    // The parser would wait for ever for somebody to read on.
    writing.catch((error) => parser.destroy(error))
  })
  try {
    await new Promise<void>((resolve, reject) => {
      parser.on('finish', resolve)
      parser.on('error', (error) => reject(formError(error)))
      const source = Readable.from(body, { objectMode: false })
      source.on('error', reject)
      source.pipe(parser)
    })
    await writing
    return form
  } catch (error) {
    const failed = await writing.then(
      () => undefined,
      (cause: Error) => cause,
    )
    await form.file?.sink.discard()
    // a full disk is not the form's fault
    throw failed && 'errno' in failed ? failed : error
  }
}

function makeParser(contentType: string, maxBytes: number): BusboyInstance {
  try {
    return new Busboy({ headers: { 'content-type': contentType }, limits: { ...LIMITS, fileSize: maxBytes } })
  } catch {
    throw invalid(['body'], 'must be a multipart/form-data form with file and purpose')
  }
}

async function store(
  stream: Readable & { truncated?: boolean },
  path: string,
  room: Reservation,
): Promise<FileSink> {
  const sink = await FileSink.create(path)
  try {
    for await (const chunk of stream) {
      room.grow(sink.size + chunk.length)
      await sink.write(chunk)
    }
    if (stream.truncated) throw invalid(['body', 'file'], `is larger than allowed`)
    return sink
  } catch (error) {
    await sink.discard()
    throw error
  }
}

function formError(error: unknown): unknown {
  // Errors of the parser itself have no status; they mean that the form is cut or malformed.
  const own = error instanceof Error && 'status' in error
  return own
    ? error
    : invalid(['body'], `is not a whole form: ${error instanceof Error ? error.message : error}`)
}
