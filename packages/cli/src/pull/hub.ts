// SPDX-License-Identifier: Apache-2.0
import { NotThereError, PullError } from './errors.ts'

/** A repository of a hub, at a revision. */
export interface HubRepo {
  /** Base of the hub's API: `https://huggingface.co`, or `http://…/v1/hf` of our Data Store. */
  endpoint: string
  id: string
  type: 'model' | 'dataset'
  revision: string
  token: string | undefined
}

export interface HubFile {
  path: string
  size: number
  /** Known for large files, which the hub stores by their sum. */
  sha256: string | undefined
}

interface Entry {
  type: string
  path: string
  size?: number
  lfs?: { oid?: string; size?: number }
}

const headersOf = ({ token }: HubRepo): Record<string, string> => ({
  'user-agent': 'open-nemo',
  'accept-encoding': 'identity',
  ...(token ? { authorization: `Bearer ${token}` } : {}),
})

/** The commit that the revision names now: all files are taken from that one. */
export async function commitOf(repo: HubRepo): Promise<string> {
  const { sha } = (await json(repo, `/revision/${encodeURIComponent(repo.revision)}`)) as { sha?: string }
  if (!sha) throw new PullError(`${repo.endpoint} names no commit for ${repo.id}@${repo.revision}`)
  return sha
}

/** All files of the repository with their sizes. */
export async function listFiles(repo: HubRepo, commit: string): Promise<HubFile[]> {
  const files: HubFile[] = []
  for (let next: string | undefined = `/tree/${commit}?recursive=true`; next; ) {
    const response = await call(repo, next)
    for (const entry of (await response.json()) as Entry[]) {
      if (entry.type !== 'file') continue
      const size = entry.lfs?.size ?? entry.size ?? 0
      const oid = entry.lfs?.oid?.replace(/^sha256:/, '')
      files.push({ path: entry.path, size, sha256: oid && /^[0-9a-f]{64}$/.test(oid) ? oid : undefined })
    }
    const link = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '')?.[1]
    // Only the query counts: the link may name a host that is right for others.
    next = link && `/tree/${commit}${new URL(link, repo.endpoint).search}`
  }
  return files
}

/** The bytes of a file from `start` on. */
export async function openFile(
  repo: HubRepo,
  args: { commit: string; path: string; start: number; signal: AbortSignal },
): Promise<{ body: ReadableStream<Uint8Array>; start: number }> {
  const { commit, path, start, signal } = args
  const prefix = repo.type === 'dataset' ? 'datasets/' : ''
  const url = `${base(repo)}/${prefix}${encoded(repo.id)}/resolve/${commit}/${encoded(path)}`
  const headers = { ...headersOf(repo), ...(start > 0 ? { range: `bytes=${start}-` } : undefined) }
  const response = await fetch(url, { headers: new Headers(headers), signal })
  await assertOk(response, repo, url)
  // A server that knows no ranges sends the whole file again.
  return {
    body: response.body ?? new ReadableStream({ start: (c) => c.close() }),
    start: response.status === 206 ? start : 0,
  }
}

async function json(repo: HubRepo, path: string): Promise<unknown> {
  return (await call(repo, path)).json()
}

async function call(repo: HubRepo, path: string): Promise<Response> {
  const url = `${base(repo)}/api/${repo.type}s/${encoded(repo.id)}${path}`
  const response = await fetch(url, { headers: headersOf(repo) })
  await assertOk(response, repo, url)
  return response
}

async function assertOk(response: Response, repo: HubRepo, url: string): Promise<void> {
  if (response.ok) return
  const text = (await response.text()).slice(0, 300)
  if ([401, 403].includes(response.status)) {
    const hint = 'put a token that may read it into the key HF_TOKEN of the Secret that authSecret names'
    throw new PullError(`${repo.endpoint} does not show ${repo.id} (${response.status}): ${hint}`)
  }
  if (response.status === 404) {
    throw new NotThereError(`${repo.endpoint} has no ${repo.type} ${repo.id}@${repo.revision} (${url})`)
  }
  throw Object.assign(new Error(`${url} answered ${response.status}: ${text}`), { status: response.status })
}

const base = ({ endpoint }: HubRepo) => endpoint.replace(/\/+$/, '')
const encoded = (path: string) => path.split('/').map(encodeURIComponent).join('/')
