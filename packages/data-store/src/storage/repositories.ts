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
import { TreeReader } from '../git/tree.ts'
import { Activity } from './activity.ts'
import { type Collected, collectAll, collectNowAndThen } from './collect.ts'
import { isNodeError } from './errors.ts'
import { syncFolder } from './fsync.ts'
import { LfsStore } from './lfs.ts'
import { type LfsStorage, openLfsStorage } from './lfs-storage.ts'
import { KeyedLock } from './locks.ts'
import { checkNamespace, checkRepoName } from './paths.ts'
import { Quotas } from './quota.ts'
import type { RepoRow, Rows } from './rows.ts'
import type { StoreSettings } from './settings.ts'

/** A repository that exists: its row and where it is. */
export interface Repo extends RepoRow {
  /** `namespace/name` */
  fullName: string
  gitDir: string
  lfs: LfsStore
}

/** A repository folder has this file until its row is in the database; without a row it goes at the next start. */
const CREATING = 'CREATING'
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
  readonly quotas: Quotas
  readonly #dir: string
  readonly #repos: string
  readonly #tmp: string
  readonly #trash: string
  readonly #log: Logger
  readonly #locks = new KeyedLock()
  readonly #activity = new Activity(this.#locks)
  readonly #background = new Set<Promise<void>>()
  readonly #stopping = new AbortController()
  readonly #settings: StoreSettings
  #storage: LfsStorage | undefined

  constructor(options: { dir: string; rows: Rows; log: Logger; settings: StoreSettings }) {
    this.rows = options.rows
    this.#log = options.log
    this.#settings = options.settings
    this.quotas = new Quotas(options.settings.quotas)
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
    this.#storage = await openLfsStorage({
      dir: this.#dir,
      repos: this.#repos,
      s3: this.#settings.s3,
      locks: this.#locks,
      log: this.#log,
    })
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
    if (this.quotas.active) await this.#measure()
    this.#later(this.#settle())
    collectNowAndThen(this.#settings.collectEveryMs, this.#stopping.signal, () =>
      this.#later(this.collect().then(() => {})),
    )
  }

  /** Waits for the work in the background and ends the git processes. */
  async close(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#background)
    this.objects.close()
    this.#storage?.close()
  }

  /** A path for temporary files that does not exist yet; it is swept at the next start. */
  temporary(): string {
    return join(this.#tmp, randomUUID())
  }

  /** Runs work that moves refs of a repository; one at a time for each. */
  exclusive<T>(repo: Repo, work: () => Promise<T>): Promise<T> {
    return this.#activity.exclusive(repo, work)
  }

  /** Runs the work of receiving a commit; nothing is pruned from its repository meanwhile. */
  receiving<T>(repo: Repo, work: () => Promise<T>): Promise<T> {
    return this.#activity.receiving(repo, work)
  }

  /**
   * Removes what nothing reaches and nobody has touched for a while, in all repositories. One collection runs at a
   * time; a second waits for it.
   */
  collect(): Promise<Collected> {
    const time = Date.now() - this.#settings.collectAgeMs
    return this.#locks.run('collection', async () => {
      await this.#lfsStorage.abortUploads(time)
      const repos = (await this.rows.all()).map((row) => this.#toRepo(row))
      const sum = await collectAll(
        {
          objects: this.objects,
          activity: this.#activity,
          scratch: () => this.temporary(),
          log: this.#log,
        },
        { repos, time, signal: this.#stopping.signal },
      )
      for (const repo of repos) await this.quotas.measureGit(repo)
      return sum
    })
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
    const repo = this.#toRepo(row)
    this.quotas.place(repo)
    return repo
  }

  /** Deletes a repository: it is gone once the rename is done; its bytes are freed in the background. */
  async delete(repo: Repo): Promise<void> {
    await this.exclusive(repo, async () => {
      await this.#toTrash(repo.id)
      await this.rows.removeRepo(repo.id)
    })
    this.quotas.forget(repo.id)
    this.objects.forget(repo.gitDir)
    this.#later(this.#emptyTrash())
  }

  /** Gives a repository another name; its files and history stay. */
  async rename(repo: Repo, namespace: string, name: string): Promise<void> {
    const id = `${checkNamespace(namespace)}/${checkRepoName(name)}`
    if (!(await this.rows.addNamespace(namespace)) && !(await this.rows.namespace(namespace)))
      throw dataStoreErrors.NAMESPACE_TAKEN({ namespace })
    if (!(await this.rows.renameRepo(repo.id, namespace, name))) throw taken(repo.type, id)
    this.quotas.place({ id: repo.id, namespace, fullName: id })
  }

  /** Called after a push. */
  async pushed(repo: Repo): Promise<void> {
    this.objects.forget(repo.gitDir)
    await this.rows.touchRepo(repo.id)
    this.maintain(repo)
  }

  /** Called after a commit: counts it, and repacks in the background once many packs have come together. */
  maintain(repo: Repo): void {
    this.#later(this.quotas.measureGit(repo))
    this.#later(this.#repack(repo))
  }

  async #measure(): Promise<void> {
    for (const row of await this.rows.all()) {
      const repo = this.#toRepo(row)
      this.quotas.place(repo)
      await this.quotas.measureGit(repo)
      for await (const { size } of repo.lfs.list()) this.quotas.add(repo.id, size)
    }
  }

  get #lfsStorage(): LfsStorage {
    if (!this.#storage) throw new Error('the store is not open')
    return this.#storage
  }

  async #repack(repo: Repo): Promise<void> {
    const packs = (await readdir(join(repo.gitDir, 'objects', 'pack'))).filter((n) => n.endsWith('.pack'))
    if (packs.length <= MAX_PACKS) return
    // Commits go on: git takes all that is in the packs it puts together, and leaves alone those that come meanwhile.
    await this.#activity.packing(repo, () => git(repo.gitDir, ['repack', '-d', '-q', '--geometric=4']))
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
      // first, so that a kill in between leaves the entry as a note of what has to go
      const id = entry.split('.')[0] ?? ''
      if (id.startsWith('repo-')) await this.#lfsStorage.objects.drop(id)
      await rm(join(this.#trash, entry), { recursive: true, force: true })
    }
  }

  /** Takes up what a kill left, and then looks for garbage from time to time. */
  async #settle(): Promise<void> {
    await this.#emptyTrash()
    await this.#lfsStorage.settle(await this.rows.repoIds(), this.#stopping.signal)
  }

  #toRepo(row: RepoRow): Repo {
    const repo = { ...row, fullName: `${row.namespace}/${row.name}`, gitDir: join(this.#repos, row.id) }
    const shared = {
      objects: this.#lfsStorage.objects,
      locks: this.#locks,
      changed: (id: string, bytes: number) => this.quotas.add(id, bytes),
    }
    return { ...repo, lfs: new LfsStore(repo, shared) }
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
