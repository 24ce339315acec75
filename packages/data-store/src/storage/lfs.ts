// SPDX-License-Identifier: Apache-2.0
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import { isNodeError } from './errors.ts'
import type { KeyedLock } from './locks.ts'
import { type BlockReader, LFS_OID, type LfsObjects, type Span, type StoredObject } from './objects.ts'

/** What the objects of all repositories share. */
export interface LfsShared {
  objects: LfsObjects
  locks: KeyedLock
  /** Told of bytes that came or went. */
  changed(repo: string, bytes: number): void
}

/**
 * The LFS objects of one repository. An object that no commit names yet has a marker in `lfs/pending/` of the
 * repository's folder, wherever the objects themselves are; while it is young it keeps the object from being collected.
 */
export class LfsStore {
  readonly #repo: { id: string; fullName: string }
  readonly #dir: string
  readonly #pending: string
  readonly #shared: LfsShared

  constructor(repo: { id: string; fullName: string; gitDir: string }, shared: LfsShared) {
    this.#repo = repo
    this.#dir = join(repo.gitDir, 'lfs')
    this.#pending = join(this.#dir, 'pending')
    this.#shared = shared
  }

  /** Bytes of the object, or undefined when it is not here. */
  size(oid: string): Promise<number | undefined> {
    return this.#shared.objects.size(this.#repo.id, oid)
  }

  /** Opens a part of an object that is here; LFS_NOT_FOUND when it is not. */
  async open(oid: string, span: Span): Promise<BlockReader> {
    const reader = await this.#shared.objects.open(this.#repo.id, oid, span)
    if (!reader) throw dataStoreErrors.LFS_NOT_FOUND({ oid, id: this.#repo.fullName })
    return reader
  }

  /** Takes a synced file, whose sha256 is `oid`, into the store; it is durable when this returns. */
  adopt(file: string, oid: string): Promise<void> {
    return this.#once(oid, async () => {
      const before = await this.size(oid)
      await this.#shared.objects.put(this.#repo.id, oid, file)
      await this.#stillThere(oid)
      if (before === undefined) await this.#came(oid)
    })
  }

  /** Takes an object over from another repository's store. */
  linkFrom(other: LfsStore, oid: string): Promise<void> {
    return this.#once(oid, async () => {
      const before = await this.size(oid)
      await this.#shared.objects.copy(other.#repo.id, this.#repo.id, oid)
      if (before === undefined) await this.#came(oid)
    })
  }

  /** Notes that an object is about to come, or is relied on, before any commit names it. */
  markPending(oid: string): Promise<void> {
    return this.#once(oid, async () => {
      await mkdir(this.#pending, { recursive: true })
      await writeFile(join(this.#pending, oid), '')
    })
  }

  /** A commit names the object now. */
  async clearPending(oid: string): Promise<void> {
    await rm(join(this.#pending, oid), { force: true })
  }

  /** Objects with a marker from before `time` (milliseconds since 1970). */
  async pendingBefore(time: number): Promise<string[]> {
    const old: string[] = []
    for (const name of await names(this.#pending)) {
      if (LFS_OID.test(name) && ((await this.#marked(name)) ?? Infinity) < time) old.push(name)
    }
    return old
  }

  list(): AsyncIterable<StoredObject> {
    return this.#shared.objects.list(this.#repo.id)
  }

  /** Removes an object that nothing names, unless somebody has marked it since `time`. True when it is gone. */
  collect(object: StoredObject, time: number): Promise<boolean> {
    return this.#once(object.oid, async () => {
      if (((await this.#marked(object.oid)) ?? 0) >= time) return false
      await this.#shared.objects.remove(this.#repo.id, object.oid)
      await this.clearPending(object.oid)
      this.#shared.changed(this.#repo.id, -object.size)
      return true
    })
  }

  /** An object that came while its repository was deleted goes too. */
  async #stillThere(oid: string): Promise<void> {
    if (await stat(this.#dir).catch(() => undefined)) return
    await this.#shared.objects.remove(this.#repo.id, oid)
    throw dataStoreErrors.LFS_NOT_FOUND({ oid, id: this.#repo.fullName })
  }

  async #came(oid: string): Promise<void> {
    this.#shared.changed(this.#repo.id, (await this.size(oid)) ?? 0)
  }

  async #marked(oid: string): Promise<number | undefined> {
    return (await stat(join(this.#pending, oid)).catch(() => undefined))?.mtimeMs
  }

  /** What is done with one object, one after the other: the collector must not take what is being relied on. */
  #once<T>(oid: string, work: () => Promise<T>): Promise<T> {
    return this.#shared.locks.run(`${this.#repo.id} ${oid}`, work)
  }
}

async function names(dir: string): Promise<string[]> {
  try {
    return await readdir(dir)
  } catch (err) {
    if (isNodeError(err, 'ENOENT')) return []
    throw err
  }
}
