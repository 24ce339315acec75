// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import { ObjectWriter } from '../git/fast-import.ts'
import { formatPointer } from '../git/tree.ts'
import { FileSink } from '../storage/file-sink.ts'
import { LFS_OID } from '../storage/objects.ts'
import { checkFolder, checkPath } from '../storage/paths.ts'
import type { Reservation } from '../storage/quota.ts'
import { type CommitLine, type ContentReceiver, refuse, scanCommit } from './scan.ts'

/** Files of at most this many bytes are git blobs; larger ones are LFS objects, however they came. */
export const INLINE_LIMIT = 1024 * 1024
/** Base64 of INLINE_LIMIT and some room for the path. */
const LONG_LINE = 1_500_000
const MAX_OPERATIONS = 100_000

/** What a commit asks for, with the content of its files already stored aside. */
export type Operation =
  | { kind: 'add'; path: string; mark: string; lfs?: { oid: string; size: number; file?: string } }
  | { kind: 'delete'; path: string; folder: boolean }
  | { kind: 'copy'; path: string; source: string; revision: string | undefined }

export interface CommitHeader {
  summary: string
  description: string
  parentCommit: string | undefined
}

/** A commit body that has been read to its end. */
export interface Upload {
  header: CommitHeader
  operations: Operation[]
  writer: ObjectWriter
  /** Removes what no commit took over. */
  discard(): Promise<void>
}

/**
 * Reads a commit body: small contents go to git, large ones to files, all outside of the repository, so that a
 * body that never ends leaves nothing in it. `dir` does not exist yet; `expected` is the length of the body,
 * where it is known; `room` grows with what comes.
 */
export async function receiveCommit(
  source: AsyncIterable<Uint8Array>,
  to: { dir: string; gitDir: string; expected?: number | undefined; room: Reservation },
): Promise<Upload> {
  const { dir, gitDir } = to
  await mkdir(dir)
  const writer = new ObjectWriter(join(dir, 'git'), gitDir)
  const discard = async () => {
    await writer.discard()
    await rm(dir, { recursive: true, force: true })
  }
  const reader = new UploadReader(dir, writer, to)
  try {
    for await (const line of scanCommit(source, reader, { longLine: LONG_LINE })) await reader.line(line)
    return { header: reader.end(), operations: reader.operations, writer, discard }
  } catch (err) {
    await reader.abort()
    await discard()
    throw err
  }
}

class UploadReader implements ContentReceiver {
  readonly operations: Operation[] = []
  readonly #dir: string
  readonly #writer: ObjectWriter
  /** Bytes of the whole body, 0 when it does not say. */
  readonly #expected: number
  readonly #room: Reservation
  #header: CommitHeader | undefined
  /** Bytes of the files that have come whole. */
  #taken = 0
  #sink: FileSink | undefined
  /** Base64 digits that wait for their group of four. */
  #carry = ''
  #utf8 = false
  #lineNumber = 0
  #files = 0

  constructor(
    dir: string,
    writer: ObjectWriter,
    about: { expected?: number | undefined; room: Reservation },
  ) {
    this.#dir = dir
    this.#expected = about.expected ?? 0
    this.#room = about.room
    this.#writer = writer
  }

  async begin(value: Record<string, unknown>, line: number): Promise<void> {
    if (!this.#header) throw refuse('the first line is not the header', line)
    if (value.path !== undefined) checkPath(value.path)
    this.#utf8 = encodingOf(value.encoding ?? 'base64', line) === 'utf8'
    this.#carry = ''
    this.#lineNumber = line
    this.#sink = await this.#newSink()
  }

  async text(piece: string): Promise<void> {
    if (!this.#sink) return
    this.#room.grow(this.#taken + this.#sink.size)
    if (this.#utf8) return this.#sink.write(Buffer.from(piece, 'utf8'))
    const text = this.#carry ? this.#carry + piece : piece
    const whole = text.length - (text.length % 4)
    this.#carry = text.slice(whole)
    const given = whole === text.length ? text : text.slice(0, whole)
    if (given && !(await this.#sink.base64(given)))
      throw refuse('the content is not base64', this.#lineNumber)
  }

  async line(line: CommitLine): Promise<void> {
    if (line.key === 'header') return this.#readHeader(line)
    if (!this.#header) throw refuse('the first line is not the header', line.line)
    if (line.streamed && line.key !== 'file') throw refuse(`${line.key} has a content`, line.line)
    if (this.operations.length >= MAX_OPERATIONS)
      throw dataStoreErrors.COMMIT_TOO_LARGE({ limit: MAX_OPERATIONS })
    this.operations.push(await this.#operation(line))
  }

  end(): CommitHeader {
    if (!this.#header) throw refuse('there is no header', 1)
    return this.#header
  }

  async abort(): Promise<void> {
    await this.#sink?.discard()
  }

  #readHeader(line: CommitLine): void {
    if (this.#header) throw refuse('there are two headers', line.line)
    const { summary, description, parentCommit } = line.value
    this.#header = {
      summary: optionalString(summary, 'summary', line.line) ?? '',
      description: optionalString(description, 'description', line.line) ?? '',
      parentCommit: optionalString(parentCommit, 'parentCommit', line.line) || undefined,
    }
  }

  async #operation(line: CommitLine): Promise<Operation> {
    const { value } = line
    switch (line.key) {
      case 'file':
        return this.#file(line)
      case 'lfsFile':
        return this.#lfsFile(line)
      case 'copyFile': {
        const source = checkPath(value.srcPath ?? value.src_path)
        const revision = optionalString(value.srcRevision ?? value.src_revision, 'srcRevision', line.line)
        return { kind: 'copy', path: checkPath(value.path), source, revision }
      }
      case 'deletedFile':
        return { kind: 'delete', path: checkPath(value.path), folder: false }
      case 'deletedFolder':
      case 'deletedEntry': {
        const path = checkFolder(String(value.path ?? ''))
        return { kind: 'delete', path: path === '' ? checkPath('') : path, folder: true }
      }
      default:
        throw refuse(`"${line.key.slice(0, 60)}" is not a known key`, line.line)
    }
  }

  async #file(line: CommitLine): Promise<Operation> {
    const path = checkPath(line.value.path)
    if (line.streamed) return this.#endStream(path, line)
    const { content } = line.value
    if (typeof content !== 'string') throw refuse(`the file ${path} lacks its content`, line.line)
    const bytes = decode(content, encodingOf(line.value.encoding ?? 'utf-8', line.line), line.line)
    this.#take(bytes.length)
    if (bytes.length <= INLINE_LIMIT) return { kind: 'add', path, mark: await this.#writer.blob(bytes) }
    this.#sink = await this.#newSink()
    await this.#sink.write(bytes)
    this.#taken -= bytes.length
    return this.#endSink(path)
  }

  async #endStream(path: string, line: CommitLine): Promise<Operation> {
    const encoding = encodingOf(line.value.encoding ?? 'utf-8', line.line)
    if ((encoding === 'utf8') !== this.#utf8)
      throw refuse(`put "encoding" before the long content of ${path}`, line.line)
    if (this.#carry) {
      const padded = this.#carry.padEnd(4, '=')
      if (this.#carry.length === 1 || !(await this.#sink?.base64(padded)))
        throw refuse('the content is not base64', line.line)
    }
    return this.#endSink(path)
  }

  async #endSink(path: string): Promise<Operation> {
    const sink = this.#sink as FileSink
    const { sha256: oid, size } = await sink.finish()
    this.#sink = undefined
    this.#take(size)
    if (size <= INLINE_LIMIT) {
      const mark = await this.#writer.blob(await readFile(sink.path))
      await sink.discard()
      return { kind: 'add', path, mark }
    }
    const mark = await this.#writer.blob(Buffer.from(formatPointer(oid, size)))
    return { kind: 'add', path, mark, lfs: { oid, size, file: sink.path } }
  }

  async #lfsFile(line: CommitLine): Promise<Operation> {
    const path = checkPath(line.value.path)
    const { oid, size, algo } = line.value
    if (typeof oid !== 'string' || !LFS_OID.test(oid) || (algo !== undefined && algo !== 'sha256'))
      throw refuse(`the oid of ${path} is not a sha256`, line.line)
    if (size !== undefined && (!Number.isSafeInteger(size) || Number(size) < 0))
      throw refuse(`the size of ${path} is not a number of bytes`, line.line)
    return { kind: 'add', path, mark: '', lfs: { oid, size: size === undefined ? -1 : Number(size) } }
  }

  #take(bytes: number): void {
    this.#taken += bytes
    this.#room.grow(this.#taken)
  }

  #newSink(): Promise<FileSink> {
    return FileSink.create(join(this.#dir, `file${++this.#files}`), this.#expected)
  }
}

function optionalString(value: unknown, name: string, line: number): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw refuse(`"${name}" is not a string`, line)
  return value
}

function encodingOf(value: unknown, line: number): 'base64' | 'utf8' {
  if (value === 'base64') return 'base64'
  if (value === 'utf-8' || value === 'utf8') return 'utf8'
  throw refuse('"encoding" is neither base64 nor utf-8', line)
}

function decode(content: string, encoding: 'base64' | 'utf8', line: number): Buffer {
  const bytes = Buffer.from(content, encoding)
  if (encoding === 'utf8') return bytes
  const digits = content.length - (content.endsWith('==') ? 2 : content.endsWith('=') ? 1 : 0)
  // the decoder skips what is not a digit, so a shorter result tells of one
  if (digits % 4 === 1 || bytes.length !== Math.floor((digits * 3) / 4))
    throw refuse('the content is not base64', line)
  return bytes
}
