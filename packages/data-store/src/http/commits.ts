// SPDX-License-Identifier: Apache-2.0
import type { RepoType } from '@open-nemo/contract/data-store/refs.ts'
import { commitInfo, commitResponse } from '@open-nemo/contract/data-store/schemas.ts'
import { type RouteInput, route } from '@open-nemo/runtime'
import { z } from 'zod'
import { commit } from '../commit/apply.ts'
import { hubMajor, remoteOid, uploadMode } from '../commit/preupload.ts'
import { listCommits } from '../git/history.ts'
import { checkPath } from '../storage/paths.ts'
import type { Repositories } from '../storage/repositories.ts'
import { presentCommit, webPath } from './present.ts'
import {
  bodyOf,
  flag,
  type Hub,
  nextLink,
  onDisk,
  originOf,
  param,
  REPO_TYPES,
  repoOf,
  whole,
} from './request.ts'

const preuploadBody = z.looseObject({
  files: z.array(
    z.looseObject({ path: z.string(), size: z.number().min(0).nullish(), sample: z.string().nullish() }),
  ),
})

const COMMITS_PAGE = 100

/** Preupload, commit and history. */
export function commitRoutes({ app, store }: Hub): void {
  for (const type of REPO_TYPES) {
    const base = `/v1/hf/api/${type}s/:ns/:repo`
    route(
      app,
      {
        method: 'POST',
        path: `${base}/preupload/:revision`,
        id: `${type}_preupload`,
        summary: 'Say how each file is to be uploaded, and which version of it is here',
        body: preuploadBody,
        bodyLimit: 64 * 1024 * 1024,
      },
      (input) => preupload(store, type, input),
    )
    route(
      app,
      {
        method: 'POST',
        path: `${base}/commit/:revision`,
        id: `${type}_commit`,
        summary: 'Make a commit; the body is NDJSON of any size, read as a stream',
        response: commitResponse,
      },
      (input) => makeCommit(store, type, input),
    )
    route(
      app,
      {
        method: 'GET',
        path: `${base}/commits/:revision`,
        id: `${type}_commits`,
        summary: 'List commits, newest first; pages follow by the Link header',
        response: z.array(commitInfo),
      },
      (input) => history(store, type, input),
    )
  }
}

async function preupload(
  store: Repositories,
  type: RepoType,
  input: RouteInput<z.infer<typeof preuploadBody>>,
): Promise<unknown> {
  const repo = await repoOf(store, type, input)
  const revision = await store.commitOf(repo, param(input, 'revision'))
  const index = await store.trees.read(repo.gitDir, revision)
  const agent = input.c.req.header('user-agent')
  // hub 0.x, told that nothing changed, builds an absolute url of the commit that it cannot read itself when
  // its endpoint has a path, as ours has; it commits again instead, and sends no large file twice
  const tells = hubMajor(agent) !== 0
  const files = []
  let more = 0
  for (const file of input.body.files) {
    const path = checkPath(file.path)
    const mode = uploadMode({ path, size: file.size ?? 0, agent })
    const oid = tells && (await remoteOid(repo, index, { path, size: file.size ?? -1, mode }))
    const before = index.get(path)
    const grows = mode === 'regular' && !(before?.type === 'file' && before.size === file.size)
    if (grows) more += file.size ?? 0
    files.push({ path: file.path, uploadMode: mode, shouldIgnore: false, ...(oid ? { oid } : {}) })
  }
  store.quotas.check(repo, more)
  return { files, commitOid: revision }
}

async function makeCommit(store: Repositories, type: RepoType, input: RouteInput<unknown>): Promise<unknown> {
  const { c, query } = input
  const repo = await repoOf(store, type, input)
  const openPull = flag(query.get('create_pr'))
  const branch = param(input, 'revision')
  const expected = Number(c.req.header('content-length') ?? 0)
  const made = await onDisk(() => commit(store, repo, { branch, openPull, body: bodyOf(c), expected }))
  return {
    success: true,
    commitOid: made.commit,
    commitUrl: `${webPath(repo)}/commit/${made.commit}`,
    hookOutput: '',
    ...(made.pull
      ? { pullRequestUrl: `${originOf(c)}/v1/hf/${webPath(repo)}/discussions/${made.pull}` }
      : {}),
  }
}

async function history(store: Repositories, type: RepoType, input: RouteInput<unknown>): Promise<Response> {
  const { c, query } = input
  const repo = await repoOf(store, type, input)
  const start = await store.commitOf(repo, query.get('from') || param(input, 'revision'))
  const limit = whole(query, 'limit', COMMITS_PAGE, 1000)
  const page = Number(/^\d{1,6}$/.exec(query.get('p') ?? '')?.[0] ?? 0)
  const commits = await listCommits(repo.gitDir, start, { skip: page * limit, limit: limit + 1 })
  const headers: Record<string, string> = {}
  // later pages count from the commit of the first, whatever is committed meanwhile
  if (commits.length > limit) headers.link = nextLink(c, { p: String(page + 1), from: start })
  const wantsHtml = [...query.getAll('expand[]'), ...query.getAll('expand')].includes('formatted')
  const data = commits.slice(0, limit).map((item) => ({
    ...presentCommit(item),
    ...(wantsHtml ? { formatted: { title: escapeHtml(item.title), message: escapeHtml(item.message) } } : {}),
  }))
  return Response.json(data, { headers })
}

const HTML: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => HTML[character] ?? '')
}
