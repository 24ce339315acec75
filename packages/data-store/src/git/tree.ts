// SPDX-License-Identifier: Apache-2.0
import { fold } from '../storage/paths.ts'
import type { ObjectReader } from './cat-file.ts'
import { git } from './run.ts'

/** A file of a tree. `oid` is its git object; `lfs` is there when that object is a pointer. */
export interface FileEntry {
  type: 'file'
  path: string
  oid: string
  /** Bytes of the content, of the LFS object where there is one. */
  size: number
  /** `120000` for symbolic links, `160000` for submodules; such entries come only from foreign pushes. */
  mode: string
  lfs?: { oid: string; size: number; pointerSize: number }
}
export interface FolderEntry {
  type: 'directory'
  path: string
  oid: string
}
export type Entry = FileEntry | FolderEntry

/** All of one commit's tree, in git's order, with folders before what they hold. */
export class TreeIndex {
  readonly commit: string
  readonly entries: readonly Entry[]
  readonly #byPath = new Map<string, Entry>()
  #folded: Map<string, Entry> | undefined

  constructor(commit: string, entries: readonly Entry[]) {
    this.commit = commit
    this.entries = entries
    for (const entry of entries) this.#byPath.set(entry.path, entry)
  }

  get(path: string): Entry | undefined {
    return this.#byPath.get(path)
  }

  /** Entries by their folded path, to find clashes. */
  get folded(): ReadonlyMap<string, Entry> {
    this.#folded ??= new Map(this.entries.map((entry) => [fold(entry.path), entry]))
    return this.#folded
  }

  /** What a folder holds ('' is the root), with all below it when `recursive`. */
  list(folder: string, recursive: boolean): Entry[] {
    const prefix = folder === '' ? '' : `${folder}/`
    return this.entries.filter(
      (entry) =>
        entry.path.startsWith(prefix) && (recursive || entry.path.indexOf('/', prefix.length) === -1),
    )
  }

  files(): FileEntry[] {
    return this.entries.filter((entry) => entry.type === 'file')
  }
}

const MIN_POINTER = 120
/** Bytes of the longest pointer. */
export const MAX_POINTER = 200
const POINTER =
  /^version https:\/\/git-lfs\.github\.com\/spec\/v1\noid sha256:([0-9a-f]{64})\nsize (\d{1,16})\n$/

/** The pointer that git holds in place of an LFS object. */
export function formatPointer(oid: string, size: number): string {
  return `version https://git-lfs.github.com/spec/v1\noid sha256:${oid}\nsize ${size}\n`
}

/** Reads an LFS pointer; undefined when the blob is anything else. */
export function parsePointer(content: Buffer): { oid: string; size: number } | undefined {
  if (content.length > MAX_POINTER) return undefined
  const match = POINTER.exec(content.toString('latin1'))
  return match?.[1] ? { oid: match[1], size: Number(match[2]) } : undefined
}

/** Reads trees of commits and keeps those used last, up to `limit` entries over all of them. */
export class TreeReader {
  readonly #objects: ObjectReader
  readonly #limit: number
  readonly #cache = new Map<string, Promise<TreeIndex>>()
  readonly #sizes = new Map<string, number>()
  /** By blob id: pointers are the same in every commit, and most files stay from one to the next. */
  readonly #pointers = new Map<string, { oid: string; size: number } | null>()

  constructor(objects: ObjectReader, limit = 300_000) {
    this.#objects = objects
    this.#limit = limit
  }

  /** The tree of `commit`, a full object id that exists. */
  async read(gitDir: string, commit: string): Promise<TreeIndex> {
    const key = `${gitDir}:${commit}`
    const known = this.#cache.get(key)
    if (known) {
      this.#cache.delete(key)
      this.#cache.set(key, known)
      return known
    }
    const fresh = this.#load(gitDir, commit)
    this.#cache.set(key, fresh)
    try {
      const index = await fresh
      this.#sizes.set(key, index.entries.length + 1)
      this.#evict(key)
      return index
    } catch (err) {
      this.#cache.delete(key)
      throw err
    }
  }

  #evict(keep: string): void {
    let total = 0
    for (const size of this.#sizes.values()) total += size
    for (const [key, size] of this.#sizes) {
      if (total <= this.#limit) return
      if (key === keep) continue
      this.#cache.delete(key)
      this.#sizes.delete(key)
      total -= size
    }
  }

  async #load(gitDir: string, commit: string): Promise<TreeIndex> {
    const out = await git(gitDir, ['ls-tree', '-r', '-t', '-l', '-z', '--full-tree', commit])
    const entries: Entry[] = []
    const candidates: FileEntry[] = []
    for (let at = 0; at < out.length; ) {
      const end = out.indexOf(0, at)
      const tab = out.indexOf(9, at)
      const [mode = '', type, oid = '', size = '0'] = out.toString('latin1', at, tab).split(/ +/)
      const path = out.toString('utf8', tab + 1, end)
      at = end + 1
      if (type === 'tree') {
        entries.push({ type: 'directory', path, oid })
        continue
      }
      const file: FileEntry = { type: 'file', path, oid, size: Number(size) || 0, mode }
      entries.push(file)
      if (type === 'blob' && file.size >= MIN_POINTER && file.size <= MAX_POINTER) candidates.push(file)
    }
    await this.#findPointers(gitDir, candidates)
    return new TreeIndex(commit, entries)
  }

  async #findPointers(gitDir: string, files: readonly FileEntry[]): Promise<void> {
    await Promise.all(
      files.map(async (file) => {
        let pointer = this.#pointers.get(file.oid)
        if (pointer === undefined) {
          const blob = await this.#objects.read(gitDir, file.oid)
          pointer = (blob && parsePointer(blob.content)) ?? null
          if (this.#pointers.size > 200_000) this.#pointers.clear()
          this.#pointers.set(file.oid, pointer)
        }
        if (!pointer || file.mode === '120000') return
        file.lfs = { ...pointer, pointerSize: file.size }
        file.size = pointer.size
      }),
    )
  }
}
