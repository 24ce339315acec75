// SPDX-License-Identifier: Apache-2.0
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import { parseConfig } from '@open-nemo/runtime'
import { z } from 'zod'

const UNITS: Record<string, number> = { '': 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 }

const bytes = z
  .string()
  .regex(
    /^\d+(\.\d+)?\s*([kmgt]i?)?b?$/i,
    'must be a number of bytes, or one with a unit such as 500MB or 2GiB',
  )
  .transform((text) => {
    const [, number = '', unit = ''] = /^([\d.]+)\s*([kmgt]?i?)/i.exec(text) ?? []
    const prefix = unit.charAt(0).toLowerCase()
    const scale = unit.length > 1 ? 1024 ** ' kmgt'.indexOf(prefix) : (UNITS[prefix] ?? 1)
    return Math.floor(Number(number) * scale)
  })

const schema = z.object({
  NEMO_DATA_STORE_QUOTA_REPOSITORY: bytes.optional(),
  NEMO_DATA_STORE_QUOTA_NAMESPACE: bytes.optional(),
  NEMO_DATA_STORE_QUOTA_TOTAL: bytes.optional(),
})

/** Most bytes of a repository, of all in a namespace, and of all; undefined for no limit. */
export interface QuotaLimits {
  repository: number | undefined
  namespace: number | undefined
  total: number | undefined
}

/** The limits that the settings name. Throws ConfigError for what is no number of bytes. */
export function quotaLimits(env: Record<string, string | undefined>): QuotaLimits {
  const c = parseConfig(schema, env)
  return {
    repository: c.NEMO_DATA_STORE_QUOTA_REPOSITORY,
    namespace: c.NEMO_DATA_STORE_QUOTA_NAMESPACE,
    total: c.NEMO_DATA_STORE_QUOTA_TOTAL,
  }
}

interface Owner {
  id: string
  namespace: string
  fullName: string
}

/** Room that an upload holds until its bytes are counted as stored, or it fails. */
export interface Reservation {
  /** Takes up to `bytes` in all; throws QUOTA_EXCEEDED when there is no room for more. */
  grow(bytes: number): void
  release(): void
}

/**
 * Counts the bytes of each repository: its LFS objects, its packs, and uploads in flight. They are measured when the
 * service starts, so that a kill leaves no wrong number, and only where there is a limit.
 */
export class Quotas {
  readonly limits: QuotaLimits
  readonly #repos = new Map<string, { namespace: string; bytes: number; git: number }>()
  readonly #namespaces = new Map<string, number>()
  #total = 0

  constructor(limits: QuotaLimits) {
    this.limits = limits
  }

  get active(): boolean {
    return Object.values(this.limits).some((limit) => limit !== undefined)
  }

  /** A repository that is new here, or has another namespace now. */
  place(repo: Owner): void {
    const known = this.#repos.get(repo.id)
    if (known) this.forget(repo.id)
    this.#repos.set(repo.id, { namespace: repo.namespace, bytes: 0, git: known?.git ?? 0 })
    this.add(repo.id, known?.bytes ?? 0)
  }

  /** A repository that is gone. */
  forget(id: string): void {
    this.add(id, -(this.#repos.get(id)?.bytes ?? 0))
    this.#repos.delete(id)
  }

  /** Bytes that came to a repository, or went. */
  add(id: string, bytes: number): void {
    const repo = this.#repos.get(id)
    if (!repo) return
    repo.bytes += bytes
    this.#total += bytes
    this.#namespaces.set(repo.namespace, (this.#namespaces.get(repo.namespace) ?? 0) + bytes)
  }

  /** Counts the packs of a repository again. */
  async measureGit({ id, gitDir }: { id: string; gitDir: string }): Promise<void> {
    const repo = this.active && this.#repos.get(id)
    if (!repo) return
    const now = await folderBytes(join(gitDir, 'objects', 'pack'))
    this.add(id, now - repo.git)
    repo.git = now
  }

  /** Holds room for an upload. Throws QUOTA_EXCEEDED naming what is used and what is allowed. */
  reserve(repo: Owner, bytes: number): Reservation {
    let held = 0
    const grow = (wanted: number) => {
      if (!this.active || wanted <= held) return
      this.check(repo, wanted, held)
      this.add(repo.id, wanted - held)
      held = wanted
    }
    const release = () => {
      this.add(repo.id, -held)
      held = 0
    }
    grow(bytes)
    return { grow, release }
  }

  /** Throws QUOTA_EXCEEDED when there is no room for so many bytes more, of which some are counted already. */
  check(repo: Owner, more: number, counted = 0): void {
    const { repository, namespace, total } = this.limits
    const scopes: [string, number, number | undefined][] = [
      [`the repository ${repo.fullName}`, this.#repos.get(repo.id)?.bytes ?? 0, repository],
      [`the namespace ${repo.namespace}`, this.#namespaces.get(repo.namespace) ?? 0, namespace],
      ['the data store', this.#total, total],
    ]
    for (const [what, bytes, allowed] of scopes) {
      const used = bytes - counted
      if (allowed !== undefined && used + more > allowed)
        throw dataStoreErrors.QUOTA_EXCEEDED({ what, used, allowed, more })
    }
  }
}

async function folderBytes(dir: string): Promise<number> {
  let total = 0
  for (const name of await readdir(dir).catch(() => []))
    total += (await stat(join(dir, name)).catch(() => undefined))?.size ?? 0
  return total
}
