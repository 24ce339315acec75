// SPDX-License-Identifier: Apache-2.0
import { FILES_REPO } from '@open-nemo/contract/data-store/files.ts'
import { commit } from '../commit/apply.ts'
import type { FileRows } from '../storage/file-rows.ts'
import type { Repo, Repositories } from '../storage/repositories.ts'

/** The repository in which the files of OpenAI's API lie; it is made with the first of them. */
export async function filesRepo(store: Repositories): Promise<Repo> {
  const [namespace = '', name = ''] = FILES_REPO.split('/')
  try {
    return await store.get('dataset', namespace, name)
  } catch {
    // Two uploads may make it at the same time; both then find it.
    return await store
      .create({ type: 'dataset', namespace, name, private: true })
      .catch(() => store.get('dataset', namespace, name))
  }
}

/** Commits one line of the hub's protocol to the repository of the files. */
export async function change(store: Repositories, repo: Repo, summary: string, line: object): Promise<void> {
  const lines = [{ key: 'header', value: { summary } }, line]
    .map((one) => `${JSON.stringify(one)}\n`)
    .join('')
  await commit(store, repo, { branch: 'main', body: one(Buffer.from(lines)), openPull: false })
}

/**
 * Removes a file: its content first, so that what is cut short between leaves a row by which it is tried again. Content
 * that is gone already is no error.
 */
export async function removeFile(store: Repositories, rows: FileRows, id: string): Promise<void> {
  const repo = await filesRepo(store)
  const tree = await store.trees.read(repo.gitDir, await store.commitOf(repo, 'main'))
  if (tree.get(id)) await change(store, repo, `Delete ${id}`, { key: 'deletedFolder', value: { path: id } })
  await rows.remove(id)
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
