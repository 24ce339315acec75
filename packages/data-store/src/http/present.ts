// SPDX-License-Identifier: Apache-2.0
import type { CommitInfo, TreeEntry } from '@open-nemo/contract/data-store/schemas.ts'
import { type Commit, commitTime, lastCommits } from '../git/history.ts'
import { AUTHOR } from '../git/run.ts'
import type { Entry, TreeIndex } from '../git/tree.ts'
import type { Repo, Repositories } from '../storage/repositories.ts'
import type { RepoRow } from '../storage/rows.ts'
import { hubTime } from './request.ts'

/** Where a repository is below the hub's endpoint, without a slash before it: `datasets/ns/name`. */
export function webPath(repo: { type: string; namespace: string; name: string }): string {
  return `${repo.type === 'dataset' ? 'datasets/' : ''}${repo.namespace}/${repo.name}`
}

/** An entry as trees and paths-info show it. */
export function presentEntry(entry: Entry, last?: Commit): TreeEntry {
  const lastCommit = last && { id: last.id, title: last.title, date: hubTime(last.time) }
  const { type, oid, path } = entry
  if (entry.type === 'directory') return { type, oid, size: 0, path, ...(lastCommit ? { lastCommit } : {}) }
  return {
    type,
    oid,
    size: entry.size,
    path,
    ...(entry.lfs ? { lfs: { ...entry.lfs, sha256: entry.lfs.oid } } : {}),
    ...(lastCommit ? { lastCommit } : {}),
  }
}

/** Entries, with their last commits when `expand` asks for them. */
export async function presentEntries(
  repo: Repo,
  index: TreeIndex,
  entries: readonly Entry[],
  expand: boolean,
): Promise<TreeEntry[]> {
  if (!expand) return entries.map((entry) => presentEntry(entry))
  const last = await lastCommits(repo.gitDir, index.commit, new Set(entries.map((entry) => entry.path)))
  return entries.map((entry) => ({
    ...presentEntry(entry, last.get(entry.path)),
    ...(entry.type === 'file' ? { securityFileStatus: null } : {}),
  }))
}

export function presentCommit(commit: Commit): CommitInfo {
  const { id, title, message } = commit
  return { id, title, message, date: hubTime(commit.time), authors: [{ user: AUTHOR.name, avatar: '' }] }
}

/** What lists show of a repository; nothing of it needs git. */
export function presentRow(row: RepoRow): Record<string, unknown> {
  const id = `${row.namespace}/${row.name}`
  return {
    _id: row.id,
    id,
    ...(row.type === 'model' ? { modelId: id } : {}),
    author: row.namespace,
    private: row.private,
    disabled: false,
    gated: false,
    downloads: 0,
    likes: 0,
    tags: [],
    createdAt: hubTime(row.created_at),
    lastModified: hubTime(row.updated_at),
  }
}

/** All that is known of a repository at a commit. `blobs` adds sizes and hashes to the file names. */
export async function presentRepo(
  store: Repositories,
  repo: Repo,
  commit: string,
  want: { siblings: boolean; blobs: boolean; storage: boolean },
): Promise<Record<string, unknown>> {
  const time = await commitTime(store.objects, repo.gitDir, commit)
  const info: Record<string, unknown> = {
    ...presentRow(repo),
    sha: commit,
    lastModified: hubTime(time),
    xetEnabled: false,
  }
  if (!want.siblings && !want.storage) return info
  const files = (await store.trees.read(repo.gitDir, commit)).files()
  if (want.storage) info.usedStorage = files.reduce((sum, file) => sum + file.size, 0)
  if (!want.siblings) return info
  info.siblings = files.map((file) => {
    if (!want.blobs) return { rfilename: file.path }
    const lfs = file.lfs && { sha256: file.lfs.oid, size: file.lfs.size, pointerSize: file.lfs.pointerSize }
    return { rfilename: file.path, size: file.size, blobId: file.oid, ...(lfs ? { lfs } : {}) }
  })
  return info
}
