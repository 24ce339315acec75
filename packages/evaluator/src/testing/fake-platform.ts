// SPDX-License-Identifier: Apache-2.0
import { Hono } from 'hono'

/** The stores, the inference service and a model of another provider as far as the evaluator calls them, for tests. */
export interface FakePlatform {
  fetch: typeof globalThis.fetch
  /** `ns/name` to the files of its dataset repository. */
  repos: Map<string, Record<string, string>>
  /** `datasets/ns/name` or `models/ns/name` to the entity. */
  entities: Map<string, Record<string, unknown>>
  /** Requests to models. */
  asked: ModelRequest[]
  /** What a model answers; the default repeats the last message. */
  answer: (request: ModelRequest) => Promise<ModelReply> | ModelReply
  /** Most requests to models that were open at one time. */
  peak: number
}

export interface ModelRequest {
  url: string
  authorization: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: bodies are read field by field in tests
  body: any
}

/** A text, a message, or a whole response. */
export type ModelReply = string | { message: Record<string, unknown> } | Response

export const URLS = {
  'entity-store': 'http://entity-store',
  'data-store': 'http://data-store',
  customizer: 'http://customizer',
  inference: 'http://inference',
  evaluator: 'http://evaluator',
  guardrails: 'http://guardrails',
}

export function createFakePlatform(): FakePlatform {
  let open = 0
  const stores = new Hono()
  const platform: FakePlatform = {
    repos: new Map(),
    entities: new Map(),
    asked: [],
    peak: 0,
    answer: ({ body }) => body.prompt ?? body.messages.at(-1).content,
    async fetch(input, init) {
      const request = new Request(input as string, { ...init, signal: null } as RequestInit)
      init?.signal?.throwIfAborted()
      const url = new URL(request.url)
      if (request.method !== 'POST' || url.pathname.startsWith('/v1/hf/')) return await stores.fetch(request)
      open++
      platform.peak = Math.max(platform.peak, open)
      try {
        const asked: ModelRequest = {
          url: url.href,
          authorization: request.headers.get('authorization') ?? undefined,
          body: await request.json(),
        }
        platform.asked.push(asked)
        return toResponse(asked, await platform.answer(asked))
      } finally {
        open--
      }
    },
  }
  addStores(stores, platform)
  return platform
}

function toResponse({ url, body }: ModelRequest, reply: ModelReply): Response {
  if (reply instanceof Response) return reply
  const message = typeof reply === 'string' ? { role: 'assistant', content: reply } : reply.message
  const choice = url.endsWith('/chat/completions')
    ? { index: 0, message }
    : { index: 0, text: message.content }
  return Response.json({ id: 'r', model: body.model, choices: [choice] })
}

function addStores(app: Hono, { repos, entities }: FakePlatform): void {
  app.get('/v1/models', (c) => c.json({ data: [{ id: 'served/model' }] }))
  app.get('/v1/hf/api/datasets/:ns/:name/tree/:rev', (c) => {
    const files = repos.get(`${c.req.param('ns')}/${c.req.param('name')}`)
    if (!files) return c.json({}, 404)
    return c.json(
      Object.entries(files).map(([path, text]) => ({
        type: 'file',
        path,
        oid: 'x',
        size: Buffer.byteLength(text),
      })),
    )
  })
  app.post('/v1/hf/api/repos/create', async (c) => {
    const { organization, name } = await c.req.json()
    const key = `${organization}/${name}`
    if (repos.has(key)) return c.json({}, 409)
    repos.set(key, {})
    return c.json({ url: key })
  })
  app.post('/v1/hf/api/datasets/:ns/:name/commit/:branch', async (c) => {
    const files = repos.get(`${c.req.param('ns')}/${c.req.param('name')}`)
    if (!files) return c.json({}, 404)
    for (const line of (await c.req.text()).trim().split('\n')) {
      const { key, value } = JSON.parse(line)
      if (key === 'file') files[value.path] = Buffer.from(value.content, 'base64').toString()
    }
    return c.json({ success: true, commitOid: 'c1' })
  })
  app.get('/v1/hf/datasets/:ns/:name/resolve/:rev/:path{.+}', (c) => {
    const text = repos.get(`${c.req.param('ns')}/${c.req.param('name')}`)?.[c.req.param('path')]
    if (text === undefined) return c.json({}, 404)
    const bytes = Buffer.from(text)
    return new Response(bytes, { headers: { 'content-length': String(bytes.length) } })
  })
  app.get('/v1/:kind{datasets|models}/:ns/:name{.+}', (c) => {
    const { kind, ns, name } = c.req.param()
    const found = entities.get(`${kind}/${ns}/${name}`)
    return found ? c.json(found) : c.json({ detail: 'not found' }, 404)
  })
}
