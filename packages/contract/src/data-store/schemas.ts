// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

/** A namespace of the data store; times are UTC with seconds, `2025-06-20T03:56:39Z`. */
export const dataStoreNamespace = z.object({
  namespace: z.string(),
  created_at: z.string(),
  updated_at: z.string(),
})
export type DataStoreNamespace = z.infer<typeof dataStoreNamespace>

export const lfsInfo = z.object({
  oid: z.string(),
  sha256: z.string().optional(),
  size: z.number(),
  pointerSize: z.number(),
})

/** One entry of a tree or of paths-info; `oid` is the git object id, `lfs.oid` the sha256 of the content. */
export const treeEntry = z.object({
  type: z.enum(['file', 'directory']),
  oid: z.string(),
  size: z.number(),
  path: z.string(),
  lfs: lfsInfo.optional(),
  lastCommit: z.object({ id: z.string(), title: z.string(), date: z.string() }).nullish(),
})
export type TreeEntry = z.infer<typeof treeEntry>

export const repoInfo = z.looseObject({
  id: z.string(),
  sha: z.string(),
  private: z.boolean(),
  createdAt: z.string(),
  lastModified: z.string(),
  siblings: z.array(z.looseObject({ rfilename: z.string() })).optional(),
})
export type RepoInfo = z.infer<typeof repoInfo>

export const gitRef = z.object({ name: z.string(), ref: z.string(), targetCommit: z.string() })
export const refsResponse = z.object({
  branches: z.array(gitRef),
  converts: z.array(gitRef),
  tags: z.array(gitRef),
  pullRequests: z.array(gitRef).optional(),
})
export type RefsResponse = z.infer<typeof refsResponse>

export const commitInfo = z.object({
  id: z.string(),
  title: z.string(),
  message: z.string(),
  date: z.string(),
  authors: z.array(z.object({ user: z.string(), avatar: z.string() })),
})
export type CommitInfo = z.infer<typeof commitInfo>

/** The answer to a commit; `commitUrl` is relative, as hub 0.x and later both take it. */
export const commitResponse = z.object({
  success: z.boolean(),
  commitOid: z.string(),
  commitUrl: z.string(),
  hookOutput: z.string(),
  pullRequestUrl: z.string().optional(),
})
export type CommitResponse = z.infer<typeof commitResponse>

export const createRepoResponse = z.object({ url: z.string(), name: z.string(), id: z.string() })
export type CreateRepoResponse = z.infer<typeof createRepoResponse>

/** What a collection of garbage freed. */
export const collected = z.object({
  repositories: z.int(),
  git_objects: z.int(),
  lfs_objects: z.int(),
  lfs_bytes: z.int(),
})
