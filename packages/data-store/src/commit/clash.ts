// SPDX-License-Identifier: Apache-2.0
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import type { TreeIndex } from '../git/tree.ts'
import { fold } from '../storage/paths.ts'

interface Known {
  path: string
  folder: boolean
}

/**
 * Refuses (400, naming both paths) a tree that a client could not write to its disk: a file where a folder is,
 * or two names that differ only in case or Unicode composition. Checks what `added` brings; what clashed before
 * is left alone.
 */
export function checkClashes(
  before: TreeIndex,
  removed: ReadonlySet<string>,
  added: ReadonlySet<string>,
): void {
  const survivors = removed.size === 0 ? undefined : surviving(before, removed)
  const fresh = new Map<string, Known>()
  const find = (key: string): Known | undefined => {
    const mine = fresh.get(key)
    if (mine) return mine
    if (survivors) return survivors.get(key)
    const entry = before.folded.get(key)
    return entry && { path: entry.path, folder: entry.type === 'directory' }
  }
  for (const path of added) {
    for (let end = path.indexOf('/'); ; end = path.indexOf('/', end + 1)) {
      const part = end < 0 ? path : path.slice(0, end)
      const key = fold(part)
      const other = find(key)
      if (other) compare(path, { path: part, folder: end >= 0 }, other)
      else fresh.set(key, { path: part, folder: end >= 0 })
      if (end < 0) break
    }
  }
}

function compare(path: string, mine: Known, other: Known): void {
  const named = { path: JSON.stringify(path), other: JSON.stringify(other.path), field: 'path' }
  if (mine.path !== other.path)
    throw dataStoreErrors.PATH_CLASH({ ...named, reason: 'they differ only in case or Unicode composition' })
  if (mine.folder !== other.folder)
    throw dataStoreErrors.PATH_CLASH({ ...named, reason: 'one is a file, the other a folder' })
}

/** Names that are left after the removals, folders only while they hold something. */
function surviving(before: TreeIndex, removed: ReadonlySet<string>): Map<string, Known> {
  const left = new Map<string, Known>()
  for (const { path } of before.files()) {
    if (removed.has(path)) continue
    left.set(fold(path), { path, folder: false })
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const folder = path.slice(0, end)
      const key = fold(folder)
      if (left.has(key)) break
      left.set(key, { path: folder, folder: true })
    }
  }
  return left
}
