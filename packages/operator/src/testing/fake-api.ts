// SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { KINDS, SCHEMA_MARK, VERSION } from '@open-nemo/contract/kubernetes/crds.ts'
import { BUILT_IN } from '../framework/resources.ts'
import type { KubeObject, ObjectMeta } from '../framework/types.ts'

type Json = Record<string, unknown>

/** An object without its type, which its plural gives. */
type Given = { metadata: ObjectMeta; [field: string]: unknown }

interface Watcher {
  path: string
  response: ServerResponse
}

/** One write that a client asked for. */
export interface Write {
  method: string
  path: string
}

const NOT_FOUND = { reason: 'NotFound', message: 'not found' }

const kindOf = new Map([
  ...KINDS.map((k) => [k.plural, { kind: k.kind, apiVersion: `${k.group}/${VERSION}` }] as const),
  ...BUILT_IN.flatMap(([apiVersion, kinds]) =>
    Object.entries(kinds).map(([kind, plural]) => [plural, { kind, apiVersion }] as const),
  ),
])

/**
 * A stand-in for the API server: objects in memory, list, watch with bookmarks, server-side apply by merge, and
 * conflicts by resourceVersion. Just so much that the framework's behaviour can be tested within milliseconds.
 */
export class FakeApi {
  readonly writes: Write[] = []
  /** Kinds whose CRD is another's. */
  foreign = new Set<string>()
  /** Kinds that are served and whose schema is not published yet, as in the first seconds of a CRD. */
  unpublished = new Set<string>()
  readonly #objects = new Map<string, KubeObject>()
  readonly #watchers = new Set<Watcher>()
  readonly #server = createServer((request, response) => {
    this.#handle(request, response).catch((err) => answer(response, 500, { message: String(err) }))
  })
  #version = 100
  /** Watches from before this version are told that it is gone. */
  #oldest = 0

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const address = this.#server.address()
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** Writes that are no renewal of a Lease. */
  get realWrites(): Write[] {
    return this.writes.filter((w) => !w.path.includes('/leases'))
  }

  /** Forgets the history of watches, as a restart of etcd's compaction does. */
  compact(): void {
    this.#oldest = this.#version + 1
    for (const { response } of this.#watchers) response.destroy()
  }

  get(plural: string, name: string): KubeObject | undefined {
    return [...this.#objects].find(([path]) => path.endsWith(`/${plural}/${name}`))?.[1]
  }

  /** Creates or changes an object as a user would. */
  put(plural: string, object: Given): KubeObject {
    const type = kindOf.get(plural)
    if (!type) throw new Error(`the fake API server knows no ${plural}`)
    return this.#store(pathOf(plural, type.apiVersion, object.metadata.name), {
      ...type,
      ...object,
    } as KubeObject)
  }

  delete(plural: string, name: string): void {
    for (const [path, object] of this.#objects)
      if (path.endsWith(`/${plural}/${name}`)) this.#remove(path, object)
  }

  #store(path: string, given: KubeObject): KubeObject {
    const before = this.#objects.get(path)
    const sameSpec = JSON.stringify(before?.spec) === JSON.stringify(given.spec)
    const object: KubeObject = {
      ...given,
      metadata: {
        ...given.metadata,
        namespace: 'ns',
        uid: before?.metadata.uid ?? crypto.randomUUID(),
        resourceVersion: String(++this.#version),
        generation: (before?.metadata.generation ?? 0) + (before && sameSpec ? 0 : 1),
        creationTimestamp: before?.metadata.creationTimestamp ?? new Date().toISOString(),
      },
    }
    this.#objects.set(path, object)
    this.#tell(path, { type: before ? 'MODIFIED' : 'ADDED', object })
    return object
  }

  #remove(path: string, object: KubeObject): void {
    this.#objects.delete(path)
    const gone = { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#version) } }
    this.#tell(path, { type: 'DELETED', object: gone })
  }

  #tell(path: string, line: Json): void {
    for (const w of this.#watchers)
      if (path.startsWith(`${w.path}/`)) w.response.write(`${JSON.stringify(line)}\n`)
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://x')
    const method = request.method ?? 'GET'
    const body = await readBody(request)
    if (method !== 'GET') this.writes.push({ method, path: url.pathname })
    if (url.pathname.startsWith('/openapi/v3')) return answer(response, 200, this.#openApi())
    if (method !== 'GET') return answer(response, ...this.#write(method, url.pathname, body))
    if (url.searchParams.get('watch')) return this.#watch(url, response)
    const found = this.#objects.get(url.pathname)
    if (found) return answer(response, 200, found)
    if (!kindOf.has(url.pathname.split('/').at(-1) ?? '')) return answer(response, 404, NOT_FOUND)
    const items = [...this.#objects].filter(([p]) => p.startsWith(`${url.pathname}/`)).map(([, o]) => o)
    answer(response, 200, { metadata: { resourceVersion: String(this.#version) }, items })
  }

  #openApi() {
    const schemas = KINDS.filter((k) => !this.unpublished.has(k.kind)).map(({ kind }) => [
      kind,
      {
        description: this.foreign.has(kind) ? 'of another' : SCHEMA_MARK,
        'x-kubernetes-group-version-kind': [{ kind }],
      },
    ])
    return { components: { schemas: Object.fromEntries(schemas) } }
  }

  #watch(url: URL, response: ServerResponse): void {
    const since = Number(url.searchParams.get('resourceVersion') ?? 0)
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    if (since < this.#oldest) {
      response.end(`${JSON.stringify({ type: 'ERROR', object: { code: 410, reason: 'Expired' } })}\n`)
      return
    }
    const watcher = { path: url.pathname, response }
    this.#watchers.add(watcher)
    for (const [path, object] of this.#objects)
      if (path.startsWith(`${url.pathname}/`) && Number(object.metadata.resourceVersion) > since)
        response.write(`${JSON.stringify({ type: 'MODIFIED', object })}\n`)
    const timer = setTimeout(
      () => {
        const bookmark = {
          type: 'BOOKMARK',
          object: { metadata: { resourceVersion: String(this.#version) } },
        }
        response.end(`${JSON.stringify(bookmark)}\n`)
      },
      Number(url.searchParams.get('timeoutSeconds') ?? 60) * 1000,
    )
    response.on('close', () => {
      clearTimeout(timer)
      this.#watchers.delete(watcher)
    })
  }

  #patch(path: string, body: Json): [number, unknown] {
    const before = this.#objects.get(path)
    const { resourceVersion, ...metadata } = (body.metadata ?? {}) as Json
    if (before && resourceVersion && resourceVersion !== before.metadata.resourceVersion)
      return [409, { reason: 'Conflict' }]
    const changed = merge(before ?? {}, { ...body, metadata }) as KubeObject
    if (before && JSON.stringify(changed) === JSON.stringify(before)) return [200, before]
    return [200, this.#store(path, changed)]
  }

  #write(method: string, path: string, body: Json): [number, unknown] {
    const target = path.replace(/\/status$/, '')
    const before = this.#objects.get(method === 'POST' ? `${path}/${nameOf(body)}` : target)
    if (method === 'POST') {
      if (before) return [409, { reason: 'AlreadyExists' }]
      return [201, this.#store(`${path}/${nameOf(body)}`, body as unknown as KubeObject)]
    }
    if (method === 'PATCH') return !before && path !== target ? [404, NOT_FOUND] : this.#patch(target, body)
    if (!before) return [404, NOT_FOUND]
    if (method === 'PUT') {
      const version = (body.metadata as Json | undefined)?.resourceVersion
      if (version && version !== before.metadata.resourceVersion) return [409, { reason: 'Conflict' }]
      return [200, this.#store(target, body as unknown as KubeObject)]
    }
    this.#remove(target, before)
    return [200, {}]
  }
}

const pathOf = (plural: string, apiVersion: string, name: string) =>
  `${apiVersion.includes('/') ? '/apis' : '/api'}/${apiVersion}/namespaces/ns/${plural}/${name}`

const nameOf = (body: Json) => (body.metadata as { name: string }).name

/** Maps are merged, lists and values replaced. */
function merge(into: unknown, from: unknown): unknown {
  if (!isMap(into) || !isMap(from)) return from
  const out: Json = { ...into }
  for (const [key, value] of Object.entries(from)) out[key] = merge(into[key], value)
  return out
}

const isMap = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

async function readBody(request: IncomingMessage): Promise<Json> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : {}
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}
