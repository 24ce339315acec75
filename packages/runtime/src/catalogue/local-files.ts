// SPDX-License-Identifier: Apache-2.0
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Env } from '../python/index.ts'
import { sha256OfFile } from './sums.ts'
import type { CatalogueModel } from './types.ts'

/** How deep model files may lie: `<folder>/<package>/<file>`, or as a hub lays them out. */
const MAX_DEPTH = 4

/** Folders with model files that are here without a fetch: a NIM's volume, and those of the container image. */
export function modelFolders(env: Env): string[] {
  return [env.NIM_CACHE_PATH, ...(env.NEMO_MODEL_DIR ?? '').split(':')].filter((each): each is string =>
    Boolean(each),
  )
}

/** The file of a catalogue model that came with the image or a volume, told by its sum; never fetches. */
export async function localFile(
  context: { env: Env; cacheDir: string },
  model: CatalogueModel,
): Promise<string | undefined> {
  const { source } = model
  if (source.type !== 'pypi') return undefined
  for (const folder of modelFolders(context.env)) {
    for (const path of await filesBelow(folder, basename(source.file))) {
      if ((await sha256OfFile(path, context.cacheDir)) === source.sha256) return path
    }
  }
  return undefined
}

/** Paths of the files below `folder` whose name ends so; links are not followed. */
export async function filesBelow(folder: string, ending: string, depth = MAX_DEPTH): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const found = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => join(folder, entry.name))
  if (depth <= 0) return found.sort()
  for (const entry of entries) {
    if (entry.isDirectory()) found.push(...(await filesBelow(join(folder, entry.name), ending, depth - 1)))
  }
  return found.sort()
}
