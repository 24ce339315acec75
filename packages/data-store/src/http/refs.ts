// SPDX-License-Identifier: Apache-2.0
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import type { RepoType } from '@open-nemo/contract/data-store/refs.ts'
import { refsResponse } from '@open-nemo/contract/data-store/schemas.ts'
import { type RouteInput, route } from '@open-nemo/runtime'
import { z } from 'zod'
import { ObjectWriter } from '../git/fast-import.ts'
import { branchRef, listRefs, moveRef, type Ref, resolveRevision, tagTarget } from '../git/refs.ts'
import { AUTHOR, git } from '../git/run.ts'
import { checkRefName } from '../storage/paths.ts'
import type { Repo, Repositories } from '../storage/repositories.ts'
import { flag, type Hub, optionalJson, param, REPO_TYPES, repoOf } from './request.ts'

const branchBody = z.looseObject({
  startingPoint: z.string().nullish(),
  emptyBranch: z.boolean().nullish(),
  overwrite: z.boolean().nullish(),
})
const squashBody = z.looseObject({ message: z.string().nullish() })
const tagBody = z.looseObject({ tag: z.string(), message: z.string().nullish() })

/** Branches and tags. Names with `/` come with it encoded as %2F. */
export function refRoutes({ app, store }: Hub): void {
  for (const type of REPO_TYPES) {
    const base = `/v1/hf/api/${type}s/:ns/:repo`
    route(
      app,
      {
        method: 'GET',
        path: `${base}/refs`,
        id: `${type}_refs`,
        summary: 'List refs',
        response: refsResponse,
      },
      async (input) => {
        const { branches, tags, pulls } = await listRefs((await repoOf(store, type, input)).gitDir)
        const withPulls = flag(input.query.get('include_prs') ?? input.query.get('include_pull_requests'))
        return {
          branches: branches.map(present),
          converts: [],
          tags: tags.map(present),
          ...(withPulls ? { pullRequests: pulls.map(present) } : {}),
        }
      },
    )
    route(
      app,
      {
        method: 'POST',
        path: `${base}/branch/:branch{.+}`,
        id: `${type}_create_branch`,
        summary: 'Create a branch',
      },
      (input) => createBranch(store, type, input),
    )
    route(
      app,
      {
        method: 'DELETE',
        path: `${base}/branch/:branch{.+}`,
        id: `${type}_delete_branch`,
        summary: 'Delete a branch',
      },
      async (input) => {
        const name = checkRefName(param(input, 'branch'))
        const repo = await repoOf(store, type, input)
        if (name === 'main') throw dataStoreErrors.BRANCH_PROTECTED({ name, id: repo.fullName })
        await remove(store, repo, branchRef(name), name)
        return { success: true }
      },
    )
    route(
      app,
      {
        method: 'POST',
        path: `${base}/tag/:revision{.+}`,
        id: `${type}_create_tag`,
        summary: 'Tag a revision',
      },
      (input) => createTag(store, type, input),
    )
    route(
      app,
      {
        method: 'POST',
        path: `${base}/super-squash/:branch{.+}`,
        id: `${type}_super_squash`,
        summary: 'Replace the history of a branch by one commit of its files',
      },
      (input) => squash(store, type, input),
    )
    route(
      app,
      { method: 'DELETE', path: `${base}/tag/:tag{.+}`, id: `${type}_delete_tag`, summary: 'Delete a tag' },
      async (input) => {
        const name = checkRefName(param(input, 'tag'))
        await remove(store, await repoOf(store, type, input), `refs/tags/${name}`, name)
        return { success: true }
      },
    )
  }
}

function present(ref: Ref) {
  return { name: ref.name, ref: ref.ref, targetCommit: ref.commit }
}

async function createBranch(
  store: Repositories,
  type: RepoType,
  input: RouteInput<unknown>,
): Promise<unknown> {
  const name = checkRefName(param(input, 'branch'))
  const repo = await repoOf(store, type, input)
  const body = await optionalJson(input.c, branchBody)
  const ref = branchRef(name)
  await store.exclusive(repo, async () => {
    const commit = body.emptyBranch
      ? await emptyCommit(store, repo)
      : await store.commitOf(repo, body.startingPoint || 'main')
    const old = body.overwrite ? await commitAt(store, repo, ref) : undefined
    if (!(await moveRef(repo.gitDir, ref, commit, old)))
      throw dataStoreErrors.REF_TAKEN({ id: repo.fullName, kind: 'branch', name })
  })
  return { success: true }
}

/** The first commit of every repository is empty, and so is the branch that starts from it. */
async function emptyCommit(store: Repositories, repo: Repo): Promise<string> {
  const writer = new ObjectWriter(store.temporary(), repo.gitDir)
  try {
    const commit = await writer.commit(undefined, 'initial commit', [])
    await writer.publish()
    return commit
  } finally {
    await writer.discard()
  }
}

async function createTag(store: Repositories, type: RepoType, input: RouteInput<unknown>): Promise<unknown> {
  const repo = await repoOf(store, type, input)
  const body = await optionalJson(input.c, tagBody)
  const name = checkRefName(body.tag)
  await store.exclusive(repo, async () => {
    const commit = await store.commitOf(repo, param(input, 'revision'))
    const tagger = `${AUTHOR.name} <${AUTHOR.email}>`
    const target = await tagTarget(repo.gitDir, { name, commit, message: body.message ?? '', tagger })
    if (!(await moveRef(repo.gitDir, `refs/tags/${name}`, target, undefined)))
      throw dataStoreErrors.REF_TAKEN({ id: repo.fullName, kind: 'tag', name })
  })
  return { success: true }
}

async function squash(store: Repositories, type: RepoType, input: RouteInput<unknown>): Promise<unknown> {
  const name = checkRefName(param(input, 'branch'))
  const repo = await repoOf(store, type, input)
  const body = await optionalJson(input.c, squashBody)
  return store.exclusive(repo, async () => {
    const ref = branchRef(name)
    const old = await commitAt(store, repo, ref)
    if (!old) throw dataStoreErrors.REVISION_NOT_FOUND({ id: repo.fullName, revision: JSON.stringify(name) })
    const message = (body.message || `Super-squash branch '${name}'`).replaceAll('\0', '')
    const made = await git(repo.gitDir, ['commit-tree', `${old}^{tree}`, '-F', '-'], message)
    const commit = made.toString('latin1').trim()
    await moveRef(repo.gitDir, ref, commit, old)
    return { success: true, commitOid: commit }
  })
}

async function remove(store: Repositories, repo: Repo, ref: string, name: string): Promise<void> {
  await store.exclusive(repo, async () => {
    const old = await store.objects.info(repo.gitDir, ref)
    if (!old) throw dataStoreErrors.REVISION_NOT_FOUND({ id: repo.fullName, revision: JSON.stringify(name) })
    await moveRef(repo.gitDir, ref, undefined, old.oid)
  })
}

function commitAt(store: Repositories, repo: Repo, ref: string): Promise<string | undefined> {
  return resolveRevision(store.objects, repo.gitDir, ref)
}
