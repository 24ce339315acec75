// SPDX-License-Identifier: Apache-2.0
import { invalid } from '@open-nemo/contract'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import type { RepoType } from '@open-nemo/contract/data-store/refs.ts'
import { treeEntry } from '@open-nemo/contract/data-store/schemas.ts'
import { type RouteInput, route } from '@open-nemo/runtime'
import { z } from 'zod'
import type { FileEntry } from '../git/tree.ts'
import { checkFolder, checkPath } from '../storage/paths.ts'
import { type Repo, type Repositories, shown } from '../storage/repositories.ts'
import { serveBytes, serveFile } from './download.ts'
import { presentEntries } from './present.ts'
import { flag, formOrJson, type Hub, nextLink, param, REPO_TYPES, repoOf, whole } from './request.ts'

const PAGE = 1000
const EXPANDED_PAGE = 100

/** Trees, facts about paths, and downloads. */
export function fileRoutes({ app, store }: Hub): void {
  for (const type of REPO_TYPES) {
    const base = `/v1/hf/api/${type}s/:ns/:repo`
    const tree = { method: 'GET', response: z.array(treeEntry) } as const
    const list = (input: RouteInput<unknown>) => listTree(store, type, input)
    const summary = 'List a folder; pages follow by the Link header'
    route(app, { ...tree, path: `${base}/tree/:revision`, id: `${type}_tree`, summary }, list)
    route(app, { ...tree, path: `${base}/tree/:revision/:path{.+}`, id: `${type}_tree_at`, summary }, list)
    route(
      app,
      {
        method: 'POST',
        path: `${base}/paths-info/:revision`,
        id: `${type}_paths_info`,
        summary: 'Describe the given paths that exist; the body is a form or JSON',
        response: z.array(treeEntry),
      },
      (input) => pathsInfo(store, type, input),
    )
    const web = type === 'dataset' ? '/v1/hf/datasets' : '/v1/hf'
    route(
      app,
      {
        method: 'GET',
        path: `${web}/:ns/:repo/resolve/:revision/:path{.+}`,
        id: `${type}_resolve`,
        summary: 'Download a file, or a Range of it; HEAD gives its facts',
      },
      (input) => resolve(store, type, input),
    )
  }
}

async function listTree(store: Repositories, type: RepoType, input: RouteInput<unknown>): Promise<Response> {
  const { query, c } = input
  const repo = await repoOf(store, type, input)
  const folder = checkFolder(param(input, 'path'))
  const recursive = flag(query.get('recursive'))
  const expand = flag(query.get('expand'))
  const limit = whole(query, 'limit', expand ? EXPANDED_PAGE : PAGE, PAGE)
  const cursor = readCursor(query.get('cursor'))
  // later pages stay on the commit of the first, whatever is committed meanwhile
  const commit = await store.commitOf(repo, cursor?.commit ?? param(input, 'revision'))
  const index = await store.trees.read(repo.gitDir, commit)
  const entries = index.list(folder, recursive)
  if (folder !== '' && index.get(folder)?.type !== 'directory')
    throw missing(repo, folder, param(input, 'revision'))
  const start = cursor?.at ?? 0
  const page = await presentEntries(repo, index, entries.slice(start, start + limit), expand)
  const more = start + limit < entries.length
  const headers: Record<string, string> = { 'x-repo-commit': commit }
  if (more) headers.link = nextLink(c, { cursor: `${commit}.${start + limit}` })
  return Response.json(page, { headers })
}

function readCursor(text: string | null): { commit: string; at: number } | undefined {
  if (text === null || text === '') return undefined
  const match = /^([0-9a-f]{40,64})\.(\d{1,9})$/.exec(text)
  if (!match?.[1]) throw invalid(['query', 'cursor'], 'is not one of a Link header of this list')
  return { commit: match[1], at: Number(match[2]) }
}

async function pathsInfo(store: Repositories, type: RepoType, input: RouteInput<unknown>): Promise<unknown> {
  const repo = await repoOf(store, type, input)
  const body = await formOrJson(input.c)
  const given = body.paths ?? body['paths[]'] ?? []
  const paths = Array.isArray(given) ? given : [given]
  if (!paths.every((path) => typeof path === 'string'))
    throw invalid(['body', 'paths'], 'must be paths', 'string_type')
  const commit = await store.commitOf(repo, param(input, 'revision'))
  const index = await store.trees.read(repo.gitDir, commit)
  const entries = paths.flatMap((path: string) => index.get(path.replace(/\/+$/, '')) ?? [])
  return presentEntries(repo, index, entries, flag(body.expand))
}

async function resolve(store: Repositories, type: RepoType, input: RouteInput<unknown>): Promise<Response> {
  const revision = param(input, 'revision')
  const path = checkPath(param(input, 'path'))
  const repo = await repoOf(store, type, input)
  const commit = await store.commitOf(repo, revision)
  const entry = (await store.trees.read(repo.gitDir, commit)).get(path)
  if (entry?.type !== 'file') throw missing(repo, path, revision)
  if (!entry.mode.startsWith('100')) {
    const kind = entry.mode === '120000' ? 'symbolic link' : 'submodule'
    throw dataStoreErrors.NOT_A_FILE({ path: JSON.stringify(path), id: repo.fullName, kind })
  }
  return send(store, repo, { entry, commit, input })
}

async function send(
  store: Repositories,
  repo: Repo,
  { entry, commit, input }: { entry: FileEntry; commit: string; input: RouteInput<unknown> },
): Promise<Response> {
  const facts = { path: entry.path, size: entry.size, etag: entry.lfs?.oid ?? entry.oid, commit }
  const { lfs } = entry
  if (lfs) return serveFile(input.c, facts, (span) => repo.lfs.open(lfs.oid, span))
  const content = async () => (await store.objects.read(repo.gitDir, entry.oid))?.content ?? Buffer.alloc(0)
  return serveBytes(input.c, facts, content)
}

function missing(repo: Repo, path: string, revision: string) {
  return dataStoreErrors.ENTRY_NOT_FOUND({
    id: repo.fullName,
    path: JSON.stringify(path),
    revision: shown(revision),
  })
}
