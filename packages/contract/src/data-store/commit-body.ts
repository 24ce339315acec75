// SPDX-License-Identifier: Apache-2.0

/** A file to commit. `content` may be a function, called once the body reaches it, so that files open one by one. */
export interface CommitFile {
  path: string
  content: FileContent | (() => FileContent | Promise<FileContent>)
}
export type FileContent = Uint8Array | string | ReadableStream<Uint8Array>

export interface CommitHeader {
  summary: string
  description?: string
  parentCommit?: string
}

/** Raw bytes turned into base64 at once: a multiple of 3, so that pieces join without padding between. */
const PIECE = 3 * 128 * 1024

/**
 * The NDJSON body of a commit as a stream: a header line, then deletions, then files with their content in
 * base64. Holds one piece of one file in memory at a time.
 */
export function commitBody(
  header: CommitHeader,
  files: readonly CommitFile[],
  deletions: readonly string[],
): ReadableStream<Uint8Array> {
  const iterator = lines(header, files, deletions)
  const encoder = new TextEncoder()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await iterator.next()
        if (next.done) controller.close()
        else controller.enqueue(encoder.encode(next.value))
      },
      async cancel() {
        await iterator.return(undefined)
      },
    },
    { highWaterMark: 0 },
  )
}

async function* lines(
  header: CommitHeader,
  files: readonly CommitFile[],
  deletions: readonly string[],
): AsyncGenerator<string, void> {
  const value = { description: '', ...header }
  yield `${JSON.stringify({ key: 'header', value })}\n`
  for (const path of deletions) {
    const key = path.endsWith('/') ? 'deletedFolder' : 'deletedFile'
    yield `${JSON.stringify({ key, value: { path } })}\n`
  }
  for (const file of files) {
    yield `{"key":"file","value":{"path":${JSON.stringify(file.path)},"encoding":"base64","content":"`
    const content = typeof file.content === 'function' ? await file.content() : file.content
    yield* base64(content)
    yield '"}}\n'
  }
}

async function* base64(content: FileContent): AsyncGenerator<string, void> {
  if (typeof content === 'string') return yield* base64(new TextEncoder().encode(content))
  if (content instanceof Uint8Array) {
    for (let at = 0; at < content.length; at += PIECE) yield encode(content.subarray(at, at + PIECE))
    return
  }
  let rest = new Uint8Array(0)
  for await (const chunk of content as unknown as AsyncIterable<Uint8Array>) {
    const whole = rest.length ? concat(rest, chunk) : chunk
    const usable = whole.length - (whole.length % 3)
    for (let at = 0; at < usable; at += PIECE) yield encode(whole.subarray(at, Math.min(at + PIECE, usable)))
    rest = whole.slice(usable)
  }
  if (rest.length) yield encode(rest)
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const out = new Uint8Array(a.length + b.length)
  out.set(a)
  out.set(b, a.length)
  return out
}

interface NativeBase64 {
  toBase64?: () => string
}

function encode(bytes: Uint8Array): string {
  const native = (bytes as NativeBase64).toBase64
  if (native) return native.call(bytes)
  let text = ''
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192))
  }
  return btoa(text)
}
