// SPDX-License-Identifier: Apache-2.0
import type { ServerResponse } from 'node:http'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import type { AppEnv } from '@open-nemo/runtime'
import type { Context } from 'hono'
import type { BlockReader, Span } from '../storage/objects.ts'

/** What the headers of a download say. */
export interface FileFacts {
  path: string
  size: number
  /** sha256 of an LFS object, or the git blob id. */
  etag: string
  commit: string
}

const BLOCK = 1024 * 1024

/** Serves a file of any size in blocks; `open` gives a part of its content. */
export async function serveFile(
  c: Context<AppEnv>,
  facts: FileFacts,
  open: (span: Span) => Promise<BlockReader>,
): Promise<Response> {
  const headers = describe(facts)
  headers['x-linked-etag'] = `"${facts.etag}"`
  headers['x-linked-size'] = String(facts.size)
  const plan = answer(c, facts, headers)
  if ('done' in plan) return plan.done
  const file = await open(plan.span)
  const { outgoing } = c.env ?? {}
  if (outgoing)
    return writeOut(outgoing, { file, span: plan.span, status: plan.status, headers, id: c.get('requestId') })
  const body = new ReadableStream<Uint8Array>(new FileSource(file, plan.span), { highWaterMark: 0 })
  return new Response(body, { status: plan.status, headers })
}

/**
 * Writes to the socket from two blocks in turn. A stream of fresh blocks would make the collector of garbage
 * work as long as the transfer.
 */
async function writeOut(
  outgoing: ServerResponse,
  args: { file: BlockReader; span: Span; status: number; headers: Record<string, string>; id: string },
): Promise<Response> {
  const { file, span, status, headers } = args
  outgoing.writeHead(status, { ...headers, 'x-request-id': args.id })
  // in memory that the thread which checks the content can read too
  const blocks = [
    Buffer.from(new SharedArrayBuffer(BLOCK)),
    Buffer.from(new SharedArrayBuffer(BLOCK)),
  ] as const
  const gone = new AbortController()
  outgoing.once('close', () => gone.abort())
  try {
    let written: Promise<unknown> = Promise.resolve()
    for (let at = span.start, turn = 0; at < span.end && !outgoing.destroyed; turn ^= 1) {
      const want = Math.min(BLOCK, span.end - at)
      const bytesRead = await file.read(blocks[turn as 0 | 1].subarray(0, want))
      if (bytesRead === 0) throw new Error('the stored object is shorter than its size')
      at += bytesRead
      await written
      written = send(outgoing, blocks[turn as 0 | 1].subarray(0, bytesRead), gone.signal)
    }
    await written
    outgoing.end()
  } catch (err) {
    // the status is on its way already; only a broken connection tells the client
    outgoing.destroy(err instanceof Error ? err : undefined)
  } finally {
    await file.close()
  }
  // the server adapter knows by this header that there is nothing left to send; it looks for it only when the
  // response is not one of its own short-cuts, which touching the body rules out
  const sent = new Response(null, { status, headers: { 'x-hono-already-sent': 'true' } })
  void sent.body
  return sent
}

/** Resolves when the block is with the operating system, or the connection is gone. */
function send(outgoing: ServerResponse, block: Buffer, gone: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (gone.aborted) return resolve()
    const done = () => {
      gone.removeEventListener('abort', done)
      resolve()
    }
    gone.addEventListener('abort', done)
    outgoing.write(block, done)
  })
}

/** Serves a small content that `load` brings into memory. */
export async function serveBytes(
  c: Context<AppEnv>,
  facts: FileFacts,
  load: () => Promise<Buffer>,
): Promise<Response> {
  const headers = describe(facts)
  const plan = answer(c, facts, headers)
  if ('done' in plan) return plan.done
  const bytes = (await load()).subarray(plan.span.start, plan.span.end)
  return new Response(bytes as Uint8Array<ArrayBuffer>, { status: plan.status, headers })
}

function describe(facts: FileFacts): Record<string, string> {
  const name = facts.path.slice(facts.path.lastIndexOf('/') + 1)
  const ascii = name.replace(/[^\x20-\x7e]|["\\%]/g, '_')
  return {
    'content-type': contentType(name),
    'x-content-type-options': 'nosniff',
    'content-disposition': `inline; filename*=UTF-8''${encodeURIComponent(name).replaceAll("'", '%27')}; filename="${ascii}"`,
    'accept-ranges': 'bytes',
    etag: `"${facts.etag}"`,
    'x-repo-commit': facts.commit,
    'cache-control': 'no-cache',
    'access-control-expose-headers': 'X-Repo-Commit, X-Linked-Size, X-Linked-ETag, ETag, Content-Range',
  }
}

/** Decides between the whole, a part, and an answer without a body; completes `headers`. */
function answer(
  c: Context<AppEnv>,
  facts: FileFacts,
  headers: Record<string, string>,
): { done: Response } | { status: number; span: Span } {
  const tags = c.req.header('if-none-match')
  if (tags?.split(',').some((tag) => tag.trim().replace(/^W\//, '') === headers.etag || tag.trim() === '*')) {
    return { done: new Response(null, { status: 304, headers }) }
  }
  const condition = c.req.header('if-range')
  const range = condition === undefined || condition === headers.etag ? c.req.header('range') : undefined
  const span = parseRange(range, facts.size)
  if (span === 'unsatisfiable') {
    const err = dataStoreErrors.RANGE_REFUSED({ range: String(range).slice(0, 100), size: facts.size })
    throw err.with({ 'content-range': `bytes */${facts.size}` })
  }
  const { start, end } = span ?? { start: 0, end: facts.size }
  headers['content-length'] = String(end - start)
  if (span) headers['content-range'] = `bytes ${start}-${end - 1}/${facts.size}`
  const status = span ? 206 : 200
  if (c.req.method === 'HEAD' || end === start) return { done: new Response(null, { status, headers }) }
  return { status, span: { start, end } }
}

/** One range of bytes; undefined (all) for none, several, or another unit, as the standard asks. */
export function parseRange(header: string | undefined, size: number): Span | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header?.trim() ?? '')
  if (!match || (match[1] === '' && match[2] === '')) return undefined
  const [, from = '', to = ''] = match
  if (from === '') {
    const length = Math.min(Number(to), size)
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size }
  }
  const start = Number(from)
  if (start >= size) return 'unsatisfiable'
  const end = to === '' ? size : Math.min(Number(to) + 1, size)
  return end <= start ? undefined : { start, end }
}

/** Reads a part of a file in blocks, as fast as it is taken; closes it at the end or when the client hangs up. */
class FileSource implements UnderlyingDefaultSource<Uint8Array> {
  readonly #file: BlockReader
  readonly #end: number
  #at: number

  constructor(file: BlockReader, span: Span) {
    this.#file = file
    this.#at = span.start
    this.#end = span.end
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      const want = Math.min(BLOCK, this.#end - this.#at)
      const block = new Uint8Array(want)
      const bytesRead = await this.#file.read(block)
      if (bytesRead === 0) throw new Error('the stored object is shorter than its size')
      this.#at += bytesRead
      controller.enqueue(block.subarray(0, bytesRead))
      if (this.#at < this.#end) return
      await this.#file.close()
      controller.close()
    } catch (err) {
      await this.#file.close().catch(() => {})
      controller.error(err)
    }
  }

  async cancel(): Promise<void> {
    await this.#file.close().catch(() => {})
  }
}

const TYPES: Record<string, string> = {
  json: 'application/json',
  pdf: 'application/pdf',
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
}
/** html and svg too: a stored file must not run as a page of this host. */
const TEXT =
  /^(txt|md|csv|tsv|jsonl|ndjson|yaml|yml|toml|py|ts|js|html|htm|svg|xml|cfg|ini|log|gitattributes)$/

function contentType(name: string): string {
  const extension = name.slice(name.lastIndexOf('.') + 1).toLowerCase()
  if (TEXT.test(extension)) return 'text/plain; charset=utf-8'
  return TYPES[extension] ?? 'application/octet-stream'
}
