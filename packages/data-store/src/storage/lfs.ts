// SPDX-License-Identifier: Apache-2.0
import { link, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isNodeError } from './errors.ts'
import { syncFolder } from './fsync.ts'

export const LFS_OID = /^[0-9a-f]{64}$/

/**
 * The LFS objects of one repository: files named by the sha256 of their content, so a file that is there is
 * complete and right. An object that no commit names yet has a marker in `pending/`, for the sweep.
 */
export class LfsStore {
  readonly #dir: string

  constructor(repoDir: string) {
    this.#dir = join(repoDir, 'lfs')
  }

  path(oid: string): string {
    if (!LFS_OID.test(oid)) throw new Error(`bad LFS object id ${oid}`)
    return join(this.#dir, oid.slice(0, 2), oid.slice(2, 4), oid)
  }

  /** Bytes of the object, or undefined when it is not here. */
  async size(oid: string): Promise<number | undefined> {
    try {
      return (await stat(this.path(oid))).size
    } catch (err) {
      if (isNodeError(err, 'ENOENT')) return undefined
      throw err
    }
  }

  /** Moves a synced file, whose sha256 is `oid`, into the store; the names are durable when it returns. */
  async adopt(file: string, oid: string): Promise<void> {
    const path = this.path(oid)
    await makeFolders(dirname(path), this.#dir)
    await rename(file, path)
    await syncFolder(dirname(path))
  }

  /** Takes an object over from another repository's store without copying its bytes. */
  async linkFrom(other: LfsStore, oid: string): Promise<void> {
    const path = this.path(oid)
    await makeFolders(dirname(path), this.#dir)
    try {
      await link(other.path(oid), path)
    } catch (err) {
      if (!isNodeError(err, 'EEXIST')) throw err
    }
    await syncFolder(dirname(path))
  }

  /** Notes that an object is about to come before any commit names it. */
  async markPending(oid: string): Promise<void> {
    await mkdir(join(this.#dir, 'pending'), { recursive: true })
    await writeFile(join(this.#dir, 'pending', oid), '')
  }

  /** A commit names the object now. */
  async clearPending(oid: string): Promise<void> {
    await rm(join(this.#dir, 'pending', oid), { force: true })
  }

  /** Objects that have waited for a commit since before `time` (milliseconds since 1970). */
  async pendingBefore(time: number): Promise<string[]> {
    const old: string[] = []
    for (const name of await list(join(this.#dir, 'pending'))) {
      const { mtimeMs } = await stat(join(this.#dir, 'pending', name)).catch(() => ({ mtimeMs: Infinity }))
      if (LFS_OID.test(name) && mtimeMs < time) old.push(name)
    }
    return old
  }

  /** Removes an object that nothing names. */
  async remove(oid: string): Promise<void> {
    await rm(this.path(oid), { force: true })
    await this.clearPending(oid)
  }
}

async function list(dir: string): Promise<string[]> {
  try {
    return await readdir(dir)
  } catch (err) {
    if (isNodeError(err, 'ENOENT')) return []
    throw err
  }
}

/** mkdir -p below `root`'s folder with durable names; fails when the repository itself is gone. */
async function makeFolders(dir: string, root: string): Promise<void> {
  try {
    await mkdir(dir)
  } catch (err) {
    if (isNodeError(err, 'EEXIST')) return
    if (!isNodeError(err, 'ENOENT') || dir === root) throw err
    await makeFolders(dirname(dir), root)
    await mkdir(dir).catch((e) => {
      if (!isNodeError(e, 'EEXIST')) throw e
    })
  }
  await syncFolder(dirname(dir))
}
