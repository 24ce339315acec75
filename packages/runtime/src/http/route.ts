// SPDX-License-Identifier: Apache-2.0
import { invalid, ValidationError } from '@open-nemo/contract'
import { platformErrors } from '@open-nemo/contract/platform/errors.ts'
import type { Context } from 'hono'
import type { z } from 'zod'
import type { App, AppEnv } from './app.ts'
import { itemsOf } from './issues.ts'
import { readAsMeant } from './lax.ts'

type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD'

/** What the OpenAPI document and the 405 answer know of a route. */
export interface RouteInfo {
  method: Method
  path: string
  pattern: RegExp
  id: string
  summary: string
  status: number
  body?: z.ZodType | undefined
  query?: z.ZodType | undefined
  response?: z.ZodType | undefined
}

export interface RouteSpec<B extends z.ZodType | undefined> {
  method: Method
  /** Hono's syntax; a tail that may hold `/` is `:name{.+}`. */
  path: string
  /** Operation id of the OpenAPI document. */
  id: string
  summary: string
  status?: 200 | 201 | 202 | 204
  /** Schema of a JSON body. Without it the body is not read. */
  body?: B
  /** Schema of the query string, for the document; handlers read `query` themselves. */
  query?: z.ZodType
  response?: z.ZodType
  /** Most bytes of a JSON body; 16 MiB unless given. */
  bodyLimit?: number
}

export interface RouteInput<B> {
  body: B
  params: Record<string, string>
  query: URLSearchParams
  c: Context<AppEnv>
}

const DEFAULT_BODY_LIMIT = 16 * 1024 * 1024
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Registers one operation. The body is parsed as JSON whatever its content type, and validated;
 * a handler's plain value is sent as JSON with `status`, and a Response is sent as it is.
 */
export function route<B extends z.ZodType | undefined = undefined>(
  app: App,
  spec: RouteSpec<B>,
  handler: (input: RouteInput<B extends z.ZodType ? z.infer<B> : undefined>) => unknown,
): void {
  const status = spec.status ?? 200
  const { method, path, id, summary, body: schema, query, response } = spec
  app.meta.routes.push({
    method,
    path,
    pattern: toPattern(path),
    id,
    summary,
    status,
    body: schema,
    query,
    response,
  })
  app.on(method, path, async (c) => {
    c.set('route', path)
    const body = schema
      ? validate(schema, await readJson(c, spec.bodyLimit ?? DEFAULT_BODY_LIMIT))
      : undefined
    const result = await handler({
      body: body as never,
      params: c.req.param() as Record<string, string>,
      query: new URL(c.req.url).searchParams,
      c,
    })
    if (result instanceof Response) return result
    if (status === 204) return c.body(null, 204)
    return c.json(result ?? null, status)
  })
}

/** Validates a value by schema, reading text as the number or boolean that belongs there; throws a 422 whose items name the fields, `loc` starting with `root`. */
export function validate<T extends z.ZodType>(schema: T, value: unknown, root = 'body'): z.infer<T> {
  let result = schema.safeParse(value)
  if (result.success) return result.data
  const meant = readAsMeant(value, result.error.issues)
  if (meant !== undefined) result = schema.safeParse(meant)
  if (result.success) return result.data
  throw new ValidationError(itemsOf(result.error.issues, value, root))
}

/** Reads a JSON body of at most `limit` bytes in strict UTF-8. Throws 413 or 422. */
export async function readJson(c: Context<AppEnv>, limit: number): Promise<unknown> {
  const bytes = await readBody(c, limit)
  if (bytes.byteLength === 0) throw invalid(['body'], 'Field required: send a JSON object', 'missing')
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    throw invalid(['body'], 'is not UTF-8: encode the JSON body as UTF-8', 'json_invalid')
  }
  try {
    return JSON.parse(text)
  } catch (err) {
    throw invalid(['body'], `JSON decode error: ${err instanceof Error ? err.message : err}`, 'json_invalid')
  }
}

async function readBody(c: Context<AppEnv>, limit: number): Promise<Uint8Array> {
  const length = Number(c.req.header('content-length') ?? Number.NaN)
  if (length > limit) throw platformErrors.BODY_TOO_LARGE({ limit })
  if (!Number.isNaN(length)) return new Uint8Array(await c.req.arrayBuffer())
  // Without a length the body is counted while it comes.
  const chunks: Uint8Array[] = []
  let total = 0
  for await (const chunk of (c.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
    total += chunk.byteLength
    if (total > limit) throw platformErrors.BODY_TOO_LARGE({ limit })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function toPattern(path: string): RegExp {
  const source = path.replace(/:\w+(\{[^}]*\})?/g, (_, tail) => (tail ? '.+' : '[^/]+'))
  return new RegExp(`^${source.replaceAll('.git', '\\.git')}/?$`)
}
