// SPDX-License-Identifier: Apache-2.0
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { KeyedLock } from './locks.ts'

/** In a repository's folder: nothing has changed since a collection that left nothing to wait for. */
export const CLEAN_STAMP = 'collected'

interface Place {
  id: string
  gitDir: string
}

/** What goes on in each repository: who moves refs, who receives commits, and who prunes. */
export class Activity {
  readonly #locks: KeyedLock
  /** Commits that are being received, by repository. */
  readonly #commits = new Map<string, number>()
  readonly #pruning = new Map<string, Promise<unknown>>()

  constructor(locks: KeyedLock) {
    this.#locks = locks
  }

  /** Runs work that moves refs of a repository; one at a time for each. */
  exclusive<T>(repo: Place, work: () => Promise<T>): Promise<T> {
    return this.#locks.run(repo.id, async () => {
      await rm(join(repo.gitDir, CLEAN_STAMP), { force: true })
      return await work()
    })
  }

  /** Runs work that puts packs together, which takes long and keeps nobody else waiting; one at a time for each. */
  packing<T>(repo: Place, work: () => Promise<T>): Promise<T> {
    return this.#locks.run(`${repo.id} packing`, work)
  }

  /**
   * Runs the work of receiving a commit. Git leaves out of it what the repository has already, so nothing may be pruned
   * from that until the commit is made.
   */
  async receiving<T>(repo: Place, work: () => Promise<T>): Promise<T> {
    const { id } = repo
    while (this.#pruning.has(id)) await this.#pruning.get(id)
    this.#commits.set(id, (this.#commits.get(id) ?? 0) + 1)
    try {
      return await work()
    } finally {
      const left = (this.#commits.get(id) ?? 1) - 1
      if (left > 0) this.#commits.set(id, left)
      else this.#commits.delete(id)
    }
  }

  /** Runs work while no ref moves and no commit is being received; undefined, and not at all, when one is. */
  alone<T>(repo: Place, work: () => Promise<T>): Promise<T | undefined> {
    return this.#locks.run(repo.id, async () => {
      if (this.#commits.has(repo.id)) return undefined
      const pruning = work()
      const settled = pruning.catch(() => {})
      this.#pruning.set(repo.id, settled)
      try {
        return await pruning
      } finally {
        this.#pruning.delete(repo.id)
      }
    })
  }
}
