// SPDX-License-Identifier: Apache-2.0
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import type { Context } from 'hono'

/** Serves a file, or the part that a `bytes=first-last` range asks for; x-file-size is the whole. */
export async function serveRange(c: Context, path: string, name: string): Promise<Response> {
  const info = await stat(path).catch(() => undefined)
  if (!info?.isFile()) throw errors.WORK_FILE_MISSING({ path: name })
  const { size } = info
  const headers: Record<string, string> = {
    'content-type': 'application/octet-stream',
    'x-file-size': String(size),
  }
  const range = /^bytes=(\d+)-(\d*)$/.exec(c.req.header('range') ?? '')
  const first = Number(range?.[1] ?? 0)
  const last = Math.min(size - 1, range?.[2] ? Number(range[2]) : size - 1)
  // Nothing is left of a file that is there whole: an answer without bytes.
  if (first > last) {
    return c.body(null, first > size ? 416 : 200, { ...headers, 'content-length': '0' })
  }
  if (range) headers['content-range'] = `bytes ${first}-${last}/${size}`
  headers['content-length'] = String(last - first + 1)
  const body = Readable.toWeb(createReadStream(path, { start: first, end: last })) as ReadableStream
  return c.body(body, range ? 206 : 200, headers)
}
