// SPDX-License-Identifier: Apache-2.0
import type { Logger } from '@open-nemo/runtime/telemetry/log.ts'
import type { KubeClient } from './client.ts'
import { canonical } from './compare.ts'
import { publishedKinds } from './stand-aside.ts'

/** How often a schema that is not published yet is looked for. */
export const UNPUBLISHED_MS = 1_000

/** Knows whose the CRDs of some API versions are, as far as their schemas are published. */
export class CrdOwners {
  readonly #client: KubeClient
  readonly #versions: Set<string>
  readonly #log: Logger
  readonly #patienceMs: number
  /** Per API version: its kinds, and whether their CRDs are ours. */
  readonly #published = new Map<string, Map<string, boolean>>()
  readonly #unpublishedSince = new Map<string, number>()
  #lookedAt = 0

  /** After `patienceMs` a kind whose schema cannot be read counts as another's. */
  constructor(options: { client: KubeClient; versions: Iterable<string>; log: Logger; patienceMs: number }) {
    this.#client = options.client
    this.#versions = new Set(options.versions)
    this.#log = options.log
    this.#patienceMs = options.patienceMs
  }

  /** Reads the published schemas; whether they say something else than before. */
  async look(): Promise<boolean> {
    this.#lookedAt = Date.now()
    let changed = false
    for (const version of this.#versions) {
      const before = this.#published.get(version)
      try {
        const kinds = await publishedKinds(this.#client, version)
        this.#published.set(version, kinds)
        changed ||= before !== undefined && canonical([...kinds].sort()) !== canonical([...before].sort())
      } catch (err) {
        this.#log.warn({ err, version }, 'the published schemas cannot be read; trying again')
      }
    }
    return changed
  }

  /** Whether the CRD of a kind is ours; undefined while that may only not be published yet. */
  async isOurs(apiVersion: string, kind: string): Promise<boolean | undefined> {
    const known = () => this.#published.get(apiVersion)?.get(kind)
    const now = Date.now()
    if (known() !== undefined) {
      this.#unpublishedSince.delete(kind)
      return known()
    }
    const since = this.#unpublishedSince.get(kind) ?? now
    this.#unpublishedSince.set(kind, since)
    if (now - since > this.#patienceMs) return false
    if (now - this.#lookedAt >= UNPUBLISHED_MS) await this.look()
    return known()
  }
}
