// SPDX-License-Identifier: Apache-2.0
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError, type Logger } from '@open-nemo/runtime'
import { isNodeError } from './errors.ts'
import { FolderObjects } from './folder-objects.ts'
import { syncFile, syncFolder } from './fsync.ts'
import type { KeyedLock } from './locks.ts'
import type { LfsObjects, StoredObject } from './objects.ts'
import { S3Objects } from './s3-objects.ts'
import type { S3Settings } from './s3-settings.ts'

/** Where LFS objects are kept, as the settings say. */
export interface LfsStorage {
  objects: LfsObjects
  /** Moves what an earlier setting left in the folder; ends early when the signal says so. */
  settle(repos: readonly string[], signal: AbortSignal): Promise<void>
  /** Frees what uploads left that were begun before `time` and never came to an end. */
  abortUploads(time: number): Promise<number>
  close(): void
}

/** Remembers in the data folder where the objects are, so that a start without the bucket's settings is refused. */
const STAMP = 'lfs-storage.json'

/** Opens the storage of LFS objects: the folder `repos`, or a bucket. Throws ConfigError when that cannot be used. */
export async function openLfsStorage(options: {
  dir: string
  repos: string
  s3: S3Settings | undefined
  locks: KeyedLock
  log: Logger
}): Promise<LfsStorage> {
  const { dir, s3 } = options
  const folder = new FolderObjects(options.repos, options.log)
  const stamp = await readStamp(join(dir, STAMP))
  if (!s3) {
    if (stamp)
      throw new ConfigError(
        `LFS objects of ${dir} are in the bucket ${stamp.bucket} at ${stamp.endpoint || 'Amazon S3'} under ` +
          `${stamp.prefix}: set NEMO_DATA_STORE_S3_* as they were`,
      )
    return { objects: folder, settle: async () => {}, abortUploads: async () => 0, close: () => {} }
  }
  if (stamp && (stamp.bucket !== s3.bucket || stamp.prefix !== s3.prefix))
    throw new ConfigError(
      `LFS objects of ${dir} are in the bucket ${stamp.bucket} under ${stamp.prefix}, not in ${s3.bucket} under ` +
        `${s3.prefix}: copy them there, then delete ${join(dir, STAMP)}`,
    )
  const bucket = new S3Objects(s3)
  try {
    await bucket.check()
    await writeStamp(dir, { bucket: s3.bucket, prefix: s3.prefix, endpoint: s3.endpoint ?? '' })
  } catch (err) {
    bucket.close()
    throw err
  }
  const both = new MovingObjects(bucket, folder, options.locks)
  return {
    objects: both,
    settle: (repos, signal) => both.settle(repos, signal, options.log),
    abortUploads: (time) => bucket.abortUploads(time),
    close: () => bucket.close(),
  }
}

/** A bucket, with a folder of objects from before it that move over one by one. */
class MovingObjects implements LfsObjects {
  readonly #bucket: S3Objects
  readonly #folder: FolderObjects
  readonly #locks: KeyedLock

  constructor(bucket: S3Objects, folder: FolderObjects, locks: KeyedLock) {
    this.#bucket = bucket
    this.#folder = folder
    this.#locks = locks
  }

  // the folder is asked first: an object that moves in between is then found in the bucket
  async size(repo: string, oid: string) {
    return (await this.#folder.size(repo, oid)) ?? (await this.#bucket.size(repo, oid))
  }

  async open(...args: Parameters<LfsObjects['open']>) {
    return (await this.#folder.open(...args)) ?? (await this.#bucket.open(...args))
  }

  put(repo: string, oid: string, file: string): Promise<void> {
    return this.#bucket.put(repo, oid, file)
  }

  async copy(from: string, to: string, oid: string): Promise<void> {
    const here = (await this.#folder.size(from, oid)) !== undefined
    if (here) await this.#bucket.put(to, oid, this.#folder.path(from, oid))
    else await this.#bucket.copy(from, to, oid)
  }

  async remove(repo: string, oid: string): Promise<void> {
    await this.#folder.remove(repo, oid)
    await this.#bucket.remove(repo, oid)
  }

  async *list(repo: string): AsyncGenerator<StoredObject> {
    const seen = new Set<string>()
    for await (const object of this.#folder.list(repo)) {
      seen.add(object.oid)
      yield object
    }
    for await (const object of this.#bucket.list(repo)) if (!seen.has(object.oid)) yield object
  }

  drop(repo: string): Promise<void> {
    return this.#bucket.drop(repo)
  }

  async settle(repos: readonly string[], signal: AbortSignal, log: Logger): Promise<void> {
    let moved = 0
    for (const repo of repos) {
      for await (const { oid } of this.#folder.list(repo)) {
        if (signal.aborted) return
        await this.#locks.run(`${repo} ${oid}`, async () => {
          if ((await this.#folder.size(repo, oid)) === undefined) return
          await this.#bucket.put(repo, oid, this.#folder.path(repo, oid))
          await this.#folder.remove(repo, oid)
          moved += 1
        })
      }
    }
    if (moved > 0) log.info({ moved }, 'LFS objects moved from the folder to the bucket')
  }
}

interface Stamp {
  bucket: string
  prefix: string
  endpoint: string
}

async function readStamp(path: string): Promise<Stamp | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Stamp
  } catch (err) {
    if (isNodeError(err, 'ENOENT')) return undefined
    throw new ConfigError(`${path} cannot be read: ${(err as Error).message}`)
  }
}

async function writeStamp(dir: string, stamp: Stamp): Promise<void> {
  const path = join(dir, STAMP)
  await writeFile(`${path}.new`, `${JSON.stringify(stamp)}\n`)
  await syncFile(`${path}.new`)
  await rename(`${path}.new`, path)
  await syncFolder(dir)
}
