// SPDX-License-Identifier: Apache-2.0
import { invalid } from '@open-nemo/contract'
import type { RepoType } from '@open-nemo/contract/data-store/refs.ts'
import { createRepoResponse, repoInfo } from '@open-nemo/contract/data-store/schemas.ts'
import { errorResponse, type RouteInput, route } from '@open-nemo/runtime'
import { z } from 'zod'
import type { Repositories } from '../storage/repositories.ts'
import { presentRepo, presentRow, webPath } from './present.ts'
import { flag, type Hub, nextLink, optionalJson, param, REPO_TYPES, repoOf, whole } from './request.ts'

const repoBody = z.looseObject({
  type: z.string().nullish(),
  name: z.string(),
  organization: z.string().nullish(),
  private: z.boolean().nullish(),
  visibility: z.string().nullish(),
})
const moveBody = z.looseObject({ fromRepo: z.string(), toRepo: z.string(), type: z.string().nullish() })
const settingsBody = z.looseObject({ private: z.boolean().nullish(), visibility: z.string().nullish() })

/** Create, delete, move, list and describe repositories. */
export function repoRoutes(hub: Hub): void {
  const { app, store } = hub
  route(
    app,
    {
      method: 'POST',
      path: '/v1/hf/api/repos/create',
      id: 'createRepo',
      summary: 'Create a repository; its namespace is made on the way',
      body: repoBody,
      response: createRepoResponse,
    },
    (input) => createRepo(store, input),
  )
  route(
    app,
    {
      method: 'DELETE',
      path: '/v1/hf/api/repos/delete',
      id: 'deleteRepo',
      summary: 'Delete a repository named in the body',
      body: repoBody,
    },
    async ({ body }) => {
      const { namespace, name } = repoName(body)
      await store.delete(await store.get(typeOf(body.type), namespace, name))
      return { success: true }
    },
  )
  route(
    app,
    {
      method: 'POST',
      path: '/v1/hf/api/repos/move',
      id: 'moveRepo',
      summary: 'Give a repository another name',
      body: moveBody,
    },
    async ({ body }) => {
      const from = repoName({ name: body.fromRepo })
      const to = repoName({ name: body.toRepo })
      await store.rename(await store.get(typeOf(body.type), from.namespace, from.name), to.namespace, to.name)
      return { success: true }
    },
  )
  for (const type of REPO_TYPES) typedRoutes(hub, type)
}

function typedRoutes({ app, store }: Hub, type: RepoType): void {
  const base = `/v1/hf/api/${type}s`
  route(
    app,
    { method: 'GET', path: base, id: `list_${type}s`, summary: `List ${type} repositories` },
    (input) => listRepos(store, type, input),
  )
  const info = async (input: RouteInput<unknown>) => {
    const repo = await repoOf(store, type, input)
    const commit = await store.commitOf(repo, param(input, 'revision') || 'main')
    return presentRepo(store, repo, commit, wanted(input.query))
  }
  const facts = { method: 'GET', response: repoInfo } as const
  route(
    app,
    { ...facts, path: `${base}/:ns/:repo`, id: `${type}_info`, summary: `Describe a ${type} repository` },
    info,
  )
  route(
    app,
    {
      ...facts,
      path: `${base}/:ns/:repo/revision/:revision`,
      id: `${type}_info_at`,
      summary: `Describe a ${type} repository at a branch, tag or commit`,
    },
    info,
  )
  route(
    app,
    {
      method: 'DELETE',
      path: `${base}/:ns/:repo`,
      id: `delete_${type}`,
      summary: `Delete a ${type} repository`,
    },
    async (input) => {
      await store.delete(await repoOf(store, type, input))
      return { success: true }
    },
  )
  route(
    app,
    {
      method: 'PUT',
      path: `${base}/:ns/:repo/settings`,
      id: `${type}_settings`,
      summary: 'Change whether a repository is private (kept and shown; this store asks no one who they are)',
    },
    async (input) => {
      const repo = await repoOf(store, type, input)
      const body = await optionalJson(input.c, settingsBody)
      const value = body.private ?? (body.visibility ? body.visibility === 'private' : undefined)
      if (value !== undefined) await store.rows.setPrivate(repo.id, value)
      return { private: value ?? repo.private }
    },
  )
}

async function createRepo(
  store: Repositories,
  input: RouteInput<z.infer<typeof repoBody>>,
): Promise<Response> {
  const { body } = input
  const type = typeOf(body.type)
  const { namespace, name } = repoName(body)
  const answer = { url: webPath({ type, namespace, name }), name: `${namespace}/${name}` }
  try {
    const isPrivate = body.private ?? body.visibility === 'private'
    const repo = await store.create({ type, namespace, name, private: isPrivate })
    return Response.json({ ...answer, id: repo.id })
  } catch (err) {
    const { response, unexpected } = errorResponse(err, 'hub', undefined)
    if (unexpected || response.status !== 409) throw err
    // with exist_ok, hub clients read the url from the body of the 409
    const shown = { ...((await response.json()) as object), ...answer }
    return new Response(JSON.stringify(shown), { status: 409, headers: response.headers })
  }
}

async function listRepos(
  store: Repositories,
  type: RepoType,
  { query, c }: RouteInput<unknown>,
): Promise<Response> {
  const limit = whole(query, 'limit', 1000, 1000)
  const offset = Number(/^\d{1,9}$/.exec(query.get('cursor') ?? '')?.[0] ?? 0)
  // repositories have no tags, pipelines or languages, so a filter by one matches nothing
  const filtered = ['filter', 'pipeline_tag', 'task_categories', 'language', 'other', 'gated'].some((name) =>
    flagged(query.get(name)),
  )
  const sort =
    query.get('sort') === 'createdAt' || query.get('sort') === 'created_at' ? 'created_at' : 'updated_at'
  const rows = filtered
    ? []
    : await store.rows.list({
        type,
        author: query.get('author') || undefined,
        search: query.get('search') || undefined,
        sort,
        descending: query.get('direction') !== '1',
        limit: limit + 1,
        offset,
      })
  const headers: Record<string, string> =
    rows.length > limit ? { link: nextLink(c, { cursor: String(offset + limit) }) } : {}
  return Response.json(rows.slice(0, limit).map(presentRow), { headers })
}

function flagged(value: string | null): boolean {
  return value !== null && value !== '' && !/^(false|none)$/i.test(value)
}

function wanted(query: URLSearchParams) {
  const expand = [...query.getAll('expand'), ...query.getAll('expand[]')].flatMap((part) => part.split(','))
  const all = expand.length === 0
  return {
    siblings: all || expand.includes('siblings'),
    blobs: flag(query.get('blobs')),
    storage: expand.includes('usedStorage'),
  }
}

function typeOf(type: string | null | undefined): RepoType {
  if (type === undefined || type === null || type === '' || type === 'model') return 'model'
  if (type === 'dataset') return 'dataset'
  throw invalid(
    ['body', 'type'],
    `"${type.slice(0, 60)}" repositories do not exist here; use model or dataset`,
    'enum',
  )
}

function repoName(body: { name: string; organization?: string | null | undefined }) {
  const slash = body.name.indexOf('/')
  if (body.organization) return { namespace: body.organization, name: body.name }
  if (slash > 0) return { namespace: body.name.slice(0, slash), name: body.name.slice(slash + 1) }
  return { namespace: 'default', name: body.name }
}
