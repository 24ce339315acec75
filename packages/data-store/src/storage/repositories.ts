// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import { access, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { newId, nowSeconds } from '@open-nemo/contract'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import type { RepoType } from '@open-nemo/contract/data-store/refs.ts'
import type { Logger } from '@open-nemo/runtime'
import { ObjectReader } from '../git/cat-file.ts'
import { BARE_CONFIG, ObjectWriter } from '../git/fast-import.ts'
import { moveRef, resolveRevision } from '../git/refs.ts'
import { git } from '../git/run.ts'
import { makePushCheck } from '../git/smart.ts'
import { parsePointer, TreeReader } from '../git/tree.ts'
import { isNodeError } from './errors.ts'
import { syncFolder } from './fsync.ts'
import { LfsStore } from './lfs.ts'
import { KeyedLock } from './locks.ts'
import { checkNamespace, checkRepoName } from './paths.ts'
import type { RepoRow, Rows } from './rows.ts'

/** A repository that exists: its row and where it is. */
export interface Repo extends RepoRow {
  /** `namespace/name` */
  fullName: string
  gitDir: string
  lfs: LfsStore
}

/** A repository folder has this file until its row is in the database; without a row it goes at the next start. */
const CREATING = 'CREATING'
/** LFS objects that no commit came to name within this time are removed. */
const PENDING_MS = 24 * 3600_000
/** So many packs, and the repository is repacked. */
const MAX_PACKS = 30

/**
 * All repositories below one folder: `repos/<id>` bare git repositories with their LFS objects, `tmp/` uploads
 * in flight, `trash/` what is being deleted.
 */
export class Repositories {
  readonly rows: Rows
  readonly objects = new ObjectReader()
  readonly trees = new TreeReader(this.objects)
  /** The folder of the hook that checks pushes. */
  hooks = ''
  readonly #dir: string
  readonly #repos: string
  readonly #tmp: string
  readonly #trash: string
  readonly #log: Logger
  readonly #locks = new KeyedLock()
  readonly #background = new Set<Promise<void>>()

  constructor(options: { dir: string; rows: Rows; log: Logger }) {
    this.rows = options.rows
    this.#log = options.log
    this.#dir = options.dir
    this.#repos = join(options.dir, 'repos')
    this.#tmp = join(options.dir, 'tmp')
    this.#trash = join(options.dir, 'trash')
  }

  /** Makes the folders, and takes away what a kill left: uploads in flight, half-made and half-deleted repositories. */
  async open(): Promise<void> {
    for (const dir of [this.#repos, this.#tmp, this.#trash]) await mkdir(dir, { recursive: true })
    await rename(this.#tmp, join(this.#trash, `tmp.${randomUUID()}`))
    await mkdir(this.#tmp)
    this.hooks = await makePushCheck(this.#dir)
    const rows = new Set(await this.rows.repoIds())
    for (const entry of await readdir(this.#trash)) {
      const id = entry.split('.')[0] ?? ''
      if (rows.has(id) && !(await exists(join(this.#repos, id)))) await this.rows.removeRepo(id)
    }
    for (const id of await readdir(this.#repos)) {
      const marker = join(this.#repos, id, CREATING)
      if (!(await exists(marker))) continue
      if (rows.has(id)) await rm(marker, { force: true })
      else await this.#toTrash(id)
    }
    this.#later(this.#sweep())
  }

  /** Waits for the work in the background and ends the git processes. */
  async close(): Promise<void> {
    await Promise.all(this.#background)
    this.objects.close()
  }

  /** A path for temporary files that does not exist yet; it is swept at the next start. */
  temporary(): string {
    return join(this.#tmp, randomUUID())
  }

  /** Runs work that moves refs of a repository; one at a time for each. */
  exclusive<T>(repo: Repo, work: () => Promise<T>): Promise<T> {
    return this.#locks.run(repo.id, work)
  }

  /** The repository, or REPO_NOT_FOUND. */
  async get(type: RepoType, namespace: string, name: string): Promise<Repo> {
    const row = await this.rows.repo(type, namespace, name)
    if (!row) throw dataStoreErrors.REPO_NOT_FOUND({ type, id: `${namespace}/${name}` })
    return this.#toRepo(row)
  }

  /** The commit of a revision, or REVISION_NOT_FOUND. */
  async commitOf(repo: Repo, revision: string): Promise<string> {
    const commit = await resolveRevision(this.objects, repo.gitDir, revision)
    if (!commit) throw dataStoreErrors.REVISION_NOT_FOUND({ id: repo.fullName, revision: shown(revision) })
    return commit
  }

  /** Makes a repository with one empty commit on main. Its namespace is made on the way. */
  async create(args: { type: RepoType; namespace: string; name: string; private: boolean }): Promise<Repo> {
    const namespace = checkNamespace(args.namespace)
    const name = checkRepoName(args.name)
    const fullName = `${namespace}/${name}`
    if (await this.rows.takenBy(args.type, fullName)) throw taken(args.type, fullName)
    const row: RepoRow = { id: newId('repo'), ...args, created_at: nowSeconds(), updated_at: nowSeconds() }
    if (!(await this.rows.addNamespace(namespace)) && !(await this.rows.namespace(namespace)))
      throw dataStoreErrors.NAMESPACE_TAKEN({ namespace })
    const dir = this.temporary()
    try {
      await this.#make(dir, `${args.type} ${fullName}\n`)
      await rename(dir, join(this.#repos, row.id))
    } catch (err) {
      await rm(dir, { recursive: true, force: true })
      throw err
    }
    await syncFolder(this.#repos)
    if (!(await this.rows.addRepo(row))) {
      await this.#toTrash(row.id)
      this.#later(this.#emptyTrash())
      throw taken(args.type, fullName)
    }
    await rm(join(this.#repos, row.id, CREATING), { force: true })
    return this.#toRepo(row)
  }

  /** Deletes a repository: it is gone once the rename is done; its bytes are freed in the background. */
  async delete(repo: Repo): Promise<void> {
    await this.exclusive(repo, async () => {
      await this.#toTrash(repo.id)
      await this.rows.removeRepo(repo.id)
    })
    this.objects.forget(repo.gitDir)
    this.#later(this.#emptyTrash())
  }

  /** Gives a repository another name; its files and history stay. */
  async rename(repo: Repo, namespace: string, name: string): Promise<void> {
    const id = `${checkNamespace(namespace)}/${checkRepoName(name)}`
    if (!(await this.rows.addNamespace(namespace)) && !(await this.rows.namespace(namespace)))
      throw dataStoreErrors.NAMESPACE_TAKEN({ namespace })
    if (!(await this.rows.renameRepo(repo.id, namespace, name))) throw taken(repo.type, id)
  }

  /** Called after a push. */
  async pushed(repo: Repo): Promise<void> {
    this.objects.forget(repo.gitDir)
    await this.rows.touchRepo(repo.id)
    this.maintain(repo)
  }

  /** Called after a commit: repacks in the background once many packs have come together. */
  maintain(repo: Repo): void {
    this.#later(this.#repack(repo))
  }

  async #repack(repo: Repo): Promise<void> {
    const packs = (await readdir(join(repo.gitDir, 'objects', 'pack'))).filter((n) => n.endsWith('.pack'))
    if (packs.length <= MAX_PACKS) return
    // under the lock, since a pack whose commit no ref names yet would be dropped
    await this.exclusive(repo, () => git(repo.gitDir, ['repack', '-d', '-q', '--geometric=4']))
  }

  async #make(dir: string, description: string): Promise<void> {
    for (const sub of ['objects/info', 'objects/pack', 'refs/heads', 'refs/tags', 'lfs']) {
      await mkdir(join(dir, sub), { recursive: true })
    }
    await writeFile(join(dir, 'HEAD'), 'ref: refs/heads/main\n')
    await writeFile(join(dir, 'config'), BARE_CONFIG)
    await writeFile(join(dir, 'description'), description)
    await writeFile(join(dir, CREATING), '')
    const writer = new ObjectWriter(join(dir, 'first'), dir)
    try {
      const commit = await writer.commit(undefined, 'initial commit', [])
      await writer.publish()
      await moveRef(dir, 'refs/heads/main', commit, undefined)
    } finally {
      await writer.discard()
    }
    await syncFolder(dir)
  }

  async #toTrash(id: string): Promise<void> {
    try {
      await rename(join(this.#repos, id), join(this.#trash, `${id}.${randomUUID().slice(0, 8)}`))
    } catch (err) {
      if (!isNodeError(err, 'ENOENT')) throw err
    }
    await syncFolder(this.#repos)
  }

  async #emptyTrash(): Promise<void> {
    for (const entry of await readdir(this.#trash)) {
      await rm(join(this.#trash, entry), { recursive: true, force: true })
    }
  }

  async #sweep(): Promise<void> {
    await this.#emptyTrash()
    for (const id of await this.rows.repoIds()) await this.#sweepLfs(join(this.#repos, id))
  }

  async #sweepLfs(gitDir: string): Promise<void> {
    const lfs = new LfsStore(gitDir)
    const old = await lfs.pendingBefore(Date.now() - PENDING_MS)
    if (old.length === 0) return
    const named = await this.#namedObjects(gitDir)
    for (const oid of old) await (named.has(oid) ? lfs.clearPending(oid) : lfs.remove(oid))
  }

  /** Every LFS object that a pointer in any object of the repository names. */
  async #namedObjects(gitDir: string): Promise<Set<string>> {
    const format = '--batch-check=%(objecttype) %(objectsize) %(objectname)'
    const all = await git(gitDir, ['cat-file', '--batch-all-objects', '--unordered', format])
    const named = new Set<string>()
    for (const [, size, oid] of all.toString('latin1').matchAll(/^blob (\d+) ([0-9a-f]+)$/gm)) {
      if (Number(size) > 200 || !oid) continue
      const blob = await this.objects.read(gitDir, oid)
      const pointer = blob && parsePointer(blob.content)
      if (pointer) named.add(pointer.oid)
    }
    return named
  }

  #toRepo(row: RepoRow): Repo {
    const gitDir = join(this.#repos, row.id)
    return { ...row, fullName: `${row.namespace}/${row.name}`, gitDir, lfs: new LfsStore(gitDir) }
  }

  #later(work: Promise<void>): void {
    const logged = work
      .catch((err) => this.#log.warn({ err }, 'background work on repositories failed'))
      .finally(() => this.#background.delete(logged))
    this.#background.add(logged)
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function taken(type: RepoType, id: string) {
  return dataStoreErrors.REPO_TAKEN({ type, id })
}

/** A revision as given by a client, fit for a message. */
export function shown(revision: string): string {
  return JSON.stringify(revision.slice(0, 200).toWellFormed())
}
