// SPDX-License-Identifier: Apache-2.0
import { invalid } from '@open-nemo/contract'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import type { RepoType } from '@open-nemo/contract/data-store/refs.ts'
import type { App, AppEnv, RouteInput } from '@open-nemo/runtime'
import { readJson } from '@open-nemo/runtime'
import type { Context } from 'hono'
import type { z } from 'zod'
import { isNodeError } from '../storage/errors.ts'
import type { Repo, Repositories } from '../storage/repositories.ts'

export const REPO_TYPES: readonly RepoType[] = ['dataset', 'model']

/** What all routes share. */
export interface Hub {
  app: App
  store: Repositories
}

/** A parameter of the path; hono has decoded it. */
export function param(input: Pick<RouteInput<unknown>, 'params'>, name: string): string {
  return input.params[name] ?? ''
}

/** The repository that `:ns/:repo` names. */
export function repoOf(
  store: Repositories,
  type: RepoType,
  input: Pick<RouteInput<unknown>, 'params'>,
): Promise<Repo> {
  return store.get(type, param(input, 'ns'), param(input, 'repo').replace(/\.git$/, ''))
}

/**
 * The body as it comes: straight from the socket where there is one, since web streams cost half the speed.
 * A client that hangs up gives UPLOAD_CUT_SHORT.
 */
export async function* bodyOf(c: Context<AppEnv>): AsyncGenerator<Uint8Array, void> {
  const source = (c.env?.incoming ?? c.req.raw.body ?? []) as AsyncIterable<Uint8Array>
  const expected = c.req.header('content-length')
  let received = 0
  try {
    for await (const chunk of source) {
      received += chunk.length
      yield chunk
    }
  } catch (err) {
    if (isNodeError(err, 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE', 'ABORT_ERR'))
      throw dataStoreErrors.UPLOAD_CUT_SHORT({ received, expected: expected ?? 'more' }, { cause: err })
    throw err
  }
  if (expected !== undefined && Number(expected) !== received)
    throw dataStoreErrors.UPLOAD_CUT_SHORT({ received, expected })
}

/** Something that takes bytes; the promise, where there is one, is awaited before the next call. */
interface ByteSink {
  write(bytes: Uint8Array): Promise<void> | undefined
}

/**
 * Pours the body into a sink. From a socket it takes the events themselves: an async iterator would cost more
 * than all the rest for the tens of thousands of pieces of a large body.
 */
export async function pour(c: Context<AppEnv>, sink: ByteSink): Promise<void> {
  const incoming = c.env?.incoming
  if (!incoming) {
    for await (const chunk of bodyOf(c)) await sink.write(chunk)
    return
  }
  const expected = c.req.header('content-length')
  let received = 0
  await new Promise<void>((resolve, reject) => {
    const cutShort = (cause?: Error) =>
      reject(dataStoreErrors.UPLOAD_CUT_SHORT({ received, expected: expected ?? 'more' }, { cause }))
    const fail = (err: Error) => {
      incoming.off('data', take)
      reject(err)
    }
    if (incoming.destroyed && !incoming.readableEnded) return cutShort()
    let writing: Promise<void> | undefined
    const take = (chunk: Buffer) => {
      received += chunk.length
      writing = sink.write(chunk)
      if (!writing) return free(chunk)
      incoming.pause()
      writing.then(() => {
        free(chunk)
        incoming.resume()
      }, fail)
    }
    incoming.on('data', take)
    incoming.once('end', () => Promise.resolve(writing).then(() => resolve(), fail))
    incoming.once('error', cutShort)
    incoming.once('close', () => {
      if (!incoming.readableEnded) cutShort()
    })
  })
}

/**
 * Gives the memory of a piece back at once. Left to the collector of garbage, the pieces of a gigabyte make it look
 * through the whole heap some thirty times, which costs more than all the rest of an upload.
 */
function free(chunk: Buffer): void {
  const { buffer } = chunk
  // Small pieces may share theirs with others.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === chunk.length) buffer.transfer(0)
}

/** Says STORE_FULL instead of an internal error when the disk is full. */
export async function onDisk<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (err) {
    const full =
      isNodeError(err, 'ENOSPC', 'EDQUOT') || (err instanceof Error && /No space left/.test(err.message))
    throw full ? dataStoreErrors.STORE_FULL({}, { cause: err }) : err
  }
}

const FORM = /^(application\/x-www-form-urlencoded|multipart\/form-data)/i

/** A small body as an object, sent as a form or as JSON; names that repeat in a form become arrays. */
export async function formOrJson(
  c: Context<AppEnv>,
  limit = 4 * 1024 * 1024,
): Promise<Record<string, unknown>> {
  const type = c.req.header('content-type') ?? ''
  if (FORM.test(type)) {
    const bytes: Uint8Array[] = []
    let total = 0
    for await (const chunk of bodyOf(c)) {
      total += chunk.length
      if (total > limit) throw invalid(['body'], `is larger than ${limit} bytes`)
      bytes.push(chunk)
    }
    if (/^multipart/i.test(type)) {
      const form = await new Response(Buffer.concat(bytes), { headers: { 'content-type': type } })
        .formData()
        .catch(() => {
          throw invalid(['body'], 'is not a form')
        })
      return grouped([...form].map(([k, v]) => [k, String(v)]))
    }
    return grouped([...new URLSearchParams(Buffer.concat(bytes).toString('utf8'))])
  }
  const value = await readJson(c, limit)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(['body'], 'must be an object')
  return value as Record<string, unknown>
}

function grouped(pairs: [string, string][]): Record<string, unknown> {
  const out: Record<string, unknown> = Object.create(null)
  for (const [key, value] of pairs) {
    const before = out[key]
    if (before === undefined) out[key] = value
    else out[key] = Array.isArray(before) ? [...before, value] : [before, value]
  }
  return out
}

/** A JSON body that may be absent, as `{}`. */
export async function optionalJson<T extends z.ZodType>(c: Context<AppEnv>, schema: T): Promise<z.infer<T>> {
  const text = await c.req.text()
  if (text.trim() === '') return schema.parse({})
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (err) {
    throw invalid(['body'], `JSON decode error: ${err instanceof Error ? err.message : err}`, 'json_invalid')
  }
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw invalid(['body', ...(issue?.path.map(String) ?? [])], issue?.message ?? 'is malformed')
}

/** `True`, `true` and `1` are true: hub 0.x and later spell it differently. */
export function flag(value: unknown): boolean {
  return /^(true|1|yes)$/i.test(String(value ?? ''))
}

/** A whole number of the query within bounds, or `fallback`. */
export function whole(query: URLSearchParams, name: string, fallback: number, max: number): number {
  const text = query.get(name)
  if (text === null || text === '') return fallback
  if (!/^\d{1,9}$/.test(text) || Number(text) < 1)
    throw invalid(['query', name], 'must be a whole number above 0', 'int_parsing')
  return Math.min(Number(text), max)
}

/** The address under which the client reached us, with the scheme that a proxy before us took. */
export function originOf(c: Context<AppEnv>): string {
  const url = new URL(c.req.url)
  const scheme = c.req.header('x-forwarded-proto')
  return `${scheme === 'https' || scheme === 'http' ? scheme : url.protocol.slice(0, -1)}://${url.host}`
}

/** The `Link` header that leads to the next page of this request. */
export function nextLink(c: Context<AppEnv>, changes: Record<string, string>): string {
  const url = new URL(c.req.url)
  for (const [name, value] of Object.entries(changes)) url.searchParams.set(name, value)
  return `<${originOf(c)}${url.pathname}${url.search}>; rel="next"`
}

/** A time as hub clients read it: with milliseconds, `2025-06-20T03:56:39.000Z`. */
export function hubTime(seconds: number | string): string {
  return new Date(typeof seconds === 'string' ? seconds : seconds * 1000).toISOString()
}
