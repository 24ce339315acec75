// SPDX-License-Identifier: Apache-2.0
import { UpstreamError } from '../errors.ts'
import { type CommitFile, commitBody } from './commit-body.ts'
import type { RepoType } from './refs.ts'
import type {
  CommitInfo,
  CommitResponse,
  CreateRepoResponse,
  RefsResponse,
  RepoInfo,
  TreeEntry,
} from './schemas.ts'

export interface DataStoreClientOptions {
  /** Root of the data store without a path, for example `http://nemo-data-store:3000`. */
  baseUrl: string
  fetch: typeof fetch
  userAgent?: string
}

export interface RepoTarget {
  type: RepoType
  /** `namespace/name` */
  id: string
}
export interface RevisionTarget extends RepoTarget {
  /** Branch, tag or commit; `main` when absent. */
  revision?: string
}
export interface FileTarget extends RevisionTarget {
  path: string
}

export interface CommitRequest extends RepoTarget {
  /** The branch to move; `main` when absent. */
  branch?: string
  /** Makes the branch from main first when it does not exist yet. */
  createBranch?: boolean
  message: string
  description?: string
  /** The commit this one is based on; the answer is 412 when the branch has moved since. */
  parent?: string
  files?: readonly CommitFile[]
  /** Paths to remove; one that ends in `/` is a folder. */
  deletions?: readonly string[]
  signal?: AbortSignal
}

export interface Download {
  stream: ReadableStream<Uint8Array>
  /** Bytes that the stream will give. */
  size: number
  /** sha256 of the content for LFS objects (64 digits), else the git blob id (40 digits). */
  etag: string
  commit: string
}

export type DataStoreClient = ReturnType<typeof createDataStoreClient>

/**
 * A client of the data store's hub protocol. Every method throws UpstreamError (with `status`) when the
 * answer is not a success; streams are web streams, so that it works in memory and over HTTP alike.
 */
export function createDataStoreClient(options: DataStoreClientOptions) {
  const base = options.baseUrl.replace(/\/+$/, '')
  const agent = options.userAgent ?? 'open-nemo'

  async function send(method: string, path: string, init: RequestInit = {}, accept: number[] = []) {
    const url = path.startsWith('http') ? path : base + path
    const headers = new Headers(init.headers)
    headers.set('user-agent', agent)
    const response = await options.fetch(url, { ...init, method, headers })
    if (!response.ok && !accept.includes(response.status)) {
      throw new UpstreamError({ status: response.status, url, method, body: await response.text() })
    }
    return response
  }
  async function json<T>(method: string, path: string, body?: unknown, accept: number[] = []): Promise<T> {
    const init: RequestInit = body === undefined ? {} : { body: JSON.stringify(body), headers: JSON_HEADERS }
    return (await (await send(method, path, init, accept)).json()) as T
  }
  const drain = async (response: Response) => void (await response.arrayBuffer())

  return {
    /** Creates the namespace when it does not exist. */
    async ensureNamespace(namespace: string): Promise<void> {
      const init = { body: JSON.stringify({ namespace }), headers: JSON_HEADERS }
      await drain(await send('POST', '/v1/datastore/namespaces', init, [409]))
    },

    /** Creates a repository; `existOk` accepts one that is there already. Its namespace is made on the way. */
    async createRepo(
      repo: RepoTarget & { existOk?: boolean; private?: boolean },
    ): Promise<CreateRepoResponse> {
      const [organization, name] = split(repo.id)
      const body = { type: repo.type, organization, name, private: repo.private ?? false }
      return json('POST', '/v1/hf/api/repos/create', body, repo.existOk ? [409] : [])
    },

    /** Deletes a repository; with `missingOk` one that is gone already is a success. */
    async deleteRepo(repo: RepoTarget & { missingOk?: boolean }): Promise<void> {
      const [organization, name] = split(repo.id)
      const init = { body: JSON.stringify({ type: repo.type, organization, name }), headers: JSON_HEADERS }
      await drain(await send('DELETE', '/v1/hf/api/repos/delete', init, repo.missingOk ? [404] : []))
    },

    /** Facts and file names (`siblings`) of a repository at a revision. */
    repoInfo(target: RevisionTarget): Promise<RepoInfo> {
      return json('GET', `${api(target)}/revision/${revisionOf(target)}`)
    },

    /** The commit that a branch, tag or (full) commit id names. */
    async resolveRevision(target: RevisionTarget): Promise<string> {
      const path = `${api(target)}/revision/${revisionOf(target)}?expand=sha`
      return (await json<{ sha: string }>('GET', path)).sha
    },

    /** All entries under `path` ('' is the root), following the pages; folders are entries too. */
    async listTree(target: RevisionTarget & { path?: string; recursive?: boolean }): Promise<TreeEntry[]> {
      const folder = target.path ? `/${encodePath(target.path)}` : ''
      const query = `?recursive=${target.recursive ?? false}&expand=false`
      let next: string | undefined = `${api(target)}/tree/${revisionOf(target)}${folder}${query}`
      const entries: TreeEntry[] = []
      while (next) {
        const response: Response = await send('GET', next)
        entries.push(...((await response.json()) as TreeEntry[]))
        const link = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1]
        // only the path counts: in a cluster the link may name a host that is right for outside callers
        next = link && new URL(link, base).pathname + new URL(link, base).search
      }
      return entries
    },

    /** Opens a file for reading; `start` (bytes) resumes a broken download. */
    async download(target: FileTarget & { start?: number; signal?: AbortSignal }): Promise<Download> {
      const headers: Record<string, string> = { 'accept-encoding': 'identity' }
      if (target.start) headers.range = `bytes=${target.start}-`
      const prefix = target.type === 'dataset' ? 'datasets/' : ''
      const path = `/v1/hf/${prefix}${encodePath(target.id)}/resolve/${revisionOf(target)}/${encodePath(target.path)}`
      const response = await send('GET', path, { headers, signal: target.signal ?? null })
      return {
        stream: response.body ?? new ReadableStream({ start: (c) => c.close() }),
        size: Number(response.headers.get('content-length') ?? 0),
        etag: (response.headers.get('etag') ?? '').replaceAll('"', ''),
        commit: response.headers.get('x-repo-commit') ?? '',
      }
    },

    /** Downloads a file into a writable stream (for a file: `Writable.toWeb(createWriteStream(path))`). */
    async downloadTo(
      target: FileTarget & { start?: number; signal?: AbortSignal },
      sink: WritableStream<Uint8Array>,
    ): Promise<Omit<Download, 'stream'>> {
      const { stream, ...facts } = await this.download(target)
      let received = 0
      const count = new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          received += chunk.byteLength
          controller.enqueue(chunk)
        },
      })
      await stream.pipeThrough(count).pipeTo(sink, { signal: target.signal })
      if (received !== facts.size) {
        throw new Error(`${target.id}/${target.path}: ${received} bytes came instead of ${facts.size}`)
      }
      return facts
    },

    /** A whole small file as text. */
    async readText(target: FileTarget): Promise<string> {
      return new Response((await this.download(target)).stream).text()
    },

    /** Commits files and deletions as one commit; content streams, in memory one piece at a time. */
    async commit(request: CommitRequest): Promise<CommitResponse> {
      const branch = request.branch ?? 'main'
      if (request.createBranch && branch !== 'main')
        await this.createBranch({ ...request, branch, existOk: true })
      const header = {
        summary: request.message,
        description: request.description ?? '',
        ...(request.parent ? { parentCommit: request.parent } : {}),
      }
      const body = commitBody(header, request.files ?? [], request.deletions ?? [])
      const init = {
        body,
        duplex: 'half',
        signal: request.signal ?? null,
        headers: { 'content-type': 'application/x-ndjson' },
      } as RequestInit
      const response = await send('POST', `${api(request)}/commit/${encodeURIComponent(branch)}`, init)
      return (await response.json()) as CommitResponse
    },

    /** Makes a branch at `revision` (main when absent). */
    async createBranch(target: RevisionTarget & { branch: string; existOk?: boolean }): Promise<void> {
      const init = {
        body: JSON.stringify(target.revision ? { startingPoint: target.revision } : {}),
        headers: JSON_HEADERS,
      }
      const path = `${api(target)}/branch/${encodeURIComponent(target.branch)}`
      await drain(await send('POST', path, init, target.existOk ? [409] : []))
    },

    /** Tags `revision` (main when absent). */
    async createTag(
      target: RevisionTarget & { tag: string; message?: string; existOk?: boolean },
    ): Promise<void> {
      const init = {
        body: JSON.stringify({ tag: target.tag, message: target.message ?? '' }),
        headers: JSON_HEADERS,
      }
      const path = `${api(target)}/tag/${revisionOf(target)}`
      await drain(await send('POST', path, init, target.existOk ? [409] : []))
    },

    /** Branches and tags with the commits they name. */
    listRefs(repo: RepoTarget): Promise<RefsResponse> {
      return json('GET', `${api(repo)}/refs`)
    },

    /** The newest commits of a revision, at most one page (100). */
    listCommits(target: RevisionTarget): Promise<CommitInfo[]> {
      return json('GET', `${api(target)}/commits/${revisionOf(target)}`)
    },
  }
}

const JSON_HEADERS = { 'content-type': 'application/json' }

function split(id: string): [string, string] {
  const at = id.indexOf('/')
  if (at <= 0 || at === id.length - 1) throw new Error(`"${id}" is not <namespace>/<name>`)
  return [id.slice(0, at), id.slice(at + 1)]
}

function api(repo: RepoTarget): string {
  return `/v1/hf/api/${repo.type}s/${encodePath(repo.id)}`
}

function revisionOf(target: RevisionTarget): string {
  return encodeURIComponent(target.revision ?? 'main')
}

function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

/**
 * A client of the hub at an `hf_endpoint`; without one, and for our own spellings of it, the Data Store. Others go out
 * through the same `fetch`.
 */
export function createHubClient({
  endpoint: given,
  dataStoreUrl,
  fetch,
}: {
  endpoint?: string | null | undefined
  dataStoreUrl: string
  fetch: typeof globalThis.fetch
}): DataStoreClient {
  const endpoint = given?.replace(/\/+$/, '')
  if (!endpoint) return createDataStoreClient({ baseUrl: dataStoreUrl, fetch })
  if (endpoint.endsWith('/v1/hf')) {
    return createDataStoreClient({ baseUrl: endpoint.slice(0, -'/v1/hf'.length), fetch })
  }
  // Hubs elsewhere have no /v1/hf before their paths.
  const outside: typeof globalThis.fetch = (input, init) =>
    fetch(typeof input === 'string' ? input.replace('/v1/hf/', '/') : input, init)
  return createDataStoreClient({ baseUrl: endpoint, fetch: outside })
}
