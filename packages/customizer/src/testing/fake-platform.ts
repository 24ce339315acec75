// SPDX-License-Identifier: Apache-2.0
import { Hono } from 'hono'

/** The stores and the inference service as far as the customizer calls them, in memory, for tests. */
export interface FakePlatform {
  fetch: typeof globalThis.fetch
  /** `dataset/ns/name` or `model/ns/name` to its files. */
  repos: Map<string, FakeRepo>
  /** `datasets/ns/name` or `models/ns/name` to the entity. */
  entities: Map<string, Record<string, unknown>>
  /** Requests as `METHOD path`. */
  calls: string[]
  /** While set, the data store answers with this status. */
  outage: number | undefined
  isServing: boolean
}

interface FakeRepo {
  files: Record<string, string | Uint8Array>
  commits: { id: string; title: string; message: string }[]
  tags: Record<string, string>
}

export const URLS = {
  'entity-store': 'http://entity-store',
  'data-store': 'http://data-store',
  customizer: 'http://customizer',
  inference: 'http://inference',
  evaluator: 'http://evaluator',
  guardrails: 'http://guardrails',
}

export function newRepo(files: Record<string, string | Uint8Array>): FakeRepo {
  return { files, commits: [{ id: 'c0', title: 'initial', message: '' }], tags: {} }
}

export function createFakePlatform(): FakePlatform {
  const platform: FakePlatform = {
    repos: new Map(),
    entities: new Map(),
    calls: [],
    outage: undefined,
    isServing: true,
    fetch: async (input, init) => {
      const request = new Request(input as string, { ...init, signal: null } as RequestInit)
      const url = new URL(request.url)
      platform.calls.push(`${request.method} ${url.pathname}`)
      init?.signal?.throwIfAborted()
      if (url.hostname === 'data-store' && platform.outage) {
        return new Response('outage', { status: platform.outage })
      }
      return await (url.hostname === 'data-store' ? hub : stores).fetch(request)
    },
  }
  const hub = fakeHub(platform)
  const stores = fakeStores(platform)
  return platform
}

function fakeHub({ repos }: FakePlatform): Hono {
  const app = new Hono()
  const at = '/v1/hf/api/:kind{models|datasets}/:ns/:name'
  const of = (c: { req: { param(): Record<string, string> } }) => {
    const { kind, ns, name } = c.req.param()
    return repos.get(`${kind?.slice(0, -1)}/${ns}/${name}`)
  }
  app.post('/v1/hf/api/repos/create', async (c) => {
    const { type, organization, name } = await c.req.json()
    const key = `${type}/${organization}/${name}`
    if (repos.has(key)) return c.json({}, 409)
    repos.set(key, newRepo({}))
    return c.json({ url: name })
  })
  app.get(`${at}/revision/:rev`, (c) => (of(c) ? c.json({ sha: 'head' }) : c.json({}, 404)))
  app.get(`${at}/tree/:rev`, (c) => {
    const repo = of(c)
    if (!repo) return c.json({}, 404)
    const files = Object.entries(repo.files)
    return c.json(
      files.map(([path, text]) => ({ type: 'file', path, oid: 'x', size: Buffer.from(text).length })),
    )
  })
  app.get(`${at}/refs`, (c) => {
    const repo = of(c)
    if (!repo) return c.json({}, 404)
    const tags = Object.entries(repo.tags).map(([name, targetCommit]) => ({ name, targetCommit }))
    return c.json({ branches: [], converts: [], tags })
  })
  app.get(`${at}/commits/:rev`, (c) => {
    const { commits, tags } = of(c) ?? newRepo({})
    const from = commits.findIndex((commit) => commit.id === tags[c.req.param('rev')])
    return c.json(commits.slice(Math.max(0, from)))
  })
  app.post(`${at}/commit/:branch`, async (c) => {
    const repo = of(c)
    if (!repo) return c.json({}, 404)
    const lines = (await c.req.text()).trim().split('\n')
    for (const line of lines) {
      const { key, value } = JSON.parse(line)
      if (key === 'file') repo.files[value.path] = Buffer.from(value.content, 'base64').toString()
      const id = `c${repo.commits.length}`
      if (key === 'header') repo.commits.unshift({ id, title: value.summary, message: value.summary })
    }
    return c.json({ success: true, commitOid: repo.commits[0]?.id })
  })
  app.post(`${at}/tag/:rev`, async (c) => {
    const repo = of(c)
    const { tag } = await c.req.json()
    if (repo) repo.tags[tag] = c.req.param('rev')
    return c.json({})
  })
  // Files of the OpenAI API are those of one repository.
  app.get('/v1/files/:id', (c) => {
    const id = c.req.param('id')
    const path = Object.keys(repos.get('dataset/openai/files')?.files ?? {}).find((one) =>
      one.startsWith(`${id}/`),
    )
    if (!path) return c.json({ detail: 'not found' }, 404)
    const filename = path.slice(id.length + 1)
    return c.json({
      id,
      object: 'file',
      bytes: 1,
      created_at: 1,
      filename,
      purpose: 'fine-tune',
      status: 'processed',
    })
  })
  app.get('/v1/hf/datasets/:ns/:name/resolve/:rev/:path{.+}', (c) => {
    const { ns, name, path } = c.req.param()
    const text = repos.get(`dataset/${ns}/${name}`)?.files[path]
    if (text === undefined) return c.json({}, 404)
    const bytes = Buffer.from(text)
    return new Response(bytes, { headers: { 'content-length': String(bytes.length) } })
  })
  return app
}

function fakeStores(platform: FakePlatform): Hono {
  const { entities } = platform
  const app = new Hono()
  const item = '/v1/:kind{datasets|models}/:ns/:name{.+}'
  app.get('/v1/models', (c) => {
    const served = platform.isServing ? [...entities.keys()] : []
    return c.json({ data: served.map((key) => ({ id: key.replace(/^\w+\//, '') })) })
  })
  app.post('/v1/internal/refresh', (c) => c.json({}))
  app.post('/v1/namespaces', (c) => c.json({ id: 'ns' }))
  app.post('/v1/:kind{datasets|models}', async (c) => {
    const body = await c.req.json()
    const key = `${c.req.param('kind')}/${body.namespace}/${body.name}`
    if (entities.has(key)) return c.json({}, 409)
    entities.set(key, body)
    return c.json(body)
  })
  app.on(['GET', 'PATCH', 'DELETE'], item, async (c) => {
    const { kind, ns, name } = c.req.param()
    const key = `${kind}/${ns}/${name}`
    const found = entities.get(key)
    if (!found) return c.json({ detail: 'not found' }, 404)
    if (c.req.method === 'DELETE') entities.delete(key)
    if (c.req.method === 'PATCH') Object.assign(found, await c.req.json())
    return c.json(found)
  })
  return app
}
