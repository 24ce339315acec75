// SPDX-License-Identifier: Apache-2.0
import { type FileHandle, link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Logger } from '@open-nemo/runtime'
import { CheckedReader, SeenWhole } from './checked-reader.ts'
import { isNodeError } from './errors.ts'
import { syncFolder } from './fsync.ts'
import {
  type BlockReader,
  LFS_OID,
  type LfsObjects,
  objectPath,
  type Span,
  type StoredObject,
} from './objects.ts'

/** LFS objects as files below each repository's folder; a repository that goes takes them along. */
export class FolderObjects implements LfsObjects {
  readonly #repos: string
  readonly #log: Logger
  readonly #seen = new SeenWhole()

  constructor(repos: string, log: Logger) {
    this.#repos = repos
    this.#log = log
  }

  async size(repo: string, oid: string): Promise<number | undefined> {
    try {
      return (await stat(this.path(repo, oid))).size
    } catch (err) {
      if (isNodeError(err, 'ENOENT')) return undefined
      throw err
    }
  }

  async put(repo: string, oid: string, file: string): Promise<void> {
    const path = this.path(repo, oid)
    await makeFolders(dirname(path), this.#root(repo))
    await rename(file, path)
    await syncFolder(dirname(path))
    // Its bytes were hashed as they came.
    await stat(path).then(
      (stats) => this.#seen.add(oid, stats),
      () => undefined,
    )
  }

  /** The two share the bytes on the disk. */
  async copy(from: string, to: string, oid: string): Promise<void> {
    const path = this.path(to, oid)
    await makeFolders(dirname(path), this.#root(to))
    try {
      await link(this.path(from, oid), path)
    } catch (err) {
      if (!isNodeError(err, 'EEXIST')) throw err
    }
    await syncFolder(dirname(path))
  }

  async open(repo: string, oid: string, span: Span): Promise<BlockReader | undefined> {
    let file: FileHandle
    try {
      file = await open(this.path(repo, oid), 'r')
    } catch (err) {
      if (isNodeError(err, 'ENOENT')) return undefined
      throw err
    }
    const reader = new FileReader(file, span)
    const stats = await file.stat()
    // A part cannot be checked, and what was whole need not be again.
    if (span.start > 0 || span.end !== stats.size || this.#seen.has(oid, stats)) return reader
    return new CheckedReader(reader, {
      oid,
      size: stats.size,
      seen: () => this.#seen.add(oid, stats),
      // The answer is on its way, so that its reader can only be cut off.
      damaged: (err) => this.#log.error({ err, path: this.path(repo, oid) }, 'a stored file is damaged'),
    })
  }

  async remove(repo: string, oid: string): Promise<void> {
    await rm(this.path(repo, oid), { force: true })
  }

  async *list(repo: string): AsyncGenerator<StoredObject> {
    const root = this.#root(repo)
    for (const one of await names(root)) {
      if (one.length !== 2) continue
      for (const two of await names(join(root, one))) {
        for (const oid of await names(join(root, one, two))) {
          const found = LFS_OID.test(oid) && (await stat(join(root, one, two, oid)).catch(() => undefined))
          // the time of the inode: a file that was adopted keeps the time of its content
          if (found) yield { oid, size: found.size, changed: found.ctimeMs }
        }
      }
    }
  }

  async drop(): Promise<void> {}

  /** Where the object is, or would be. */
  path(repo: string, oid: string): string {
    return join(this.#root(repo), objectPath(oid))
  }

  #root(repo: string): string {
    return join(this.#repos, repo, 'lfs')
  }
}

class FileReader implements BlockReader {
  readonly #file: FileHandle
  readonly #end: number
  #at: number

  constructor(file: FileHandle, span: Span) {
    this.#file = file
    this.#at = span.start
    this.#end = span.end
  }

  async read(block: Uint8Array): Promise<number> {
    const want = Math.min(block.length, this.#end - this.#at)
    const { bytesRead } = await this.#file.read(block, 0, want, this.#at)
    this.#at += bytesRead
    return bytesRead
  }

  close(): Promise<void> {
    return this.#file.close()
  }
}

async function names(dir: string): Promise<string[]> {
  try {
    return await readdir(dir)
  } catch (err) {
    if (isNodeError(err, 'ENOENT', 'ENOTDIR')) return []
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
