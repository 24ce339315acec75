// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, resolve, sep } from 'node:path'
import type { ConfigFiles } from '../config/files.ts'

/** A configuration in the store's folder. */
export interface FolderConfig {
  namespace: string
  name: string
  path: string
  /** Newest change of its files. */
  changed: Date
}

const MAX_FILE = 4 * 1024 * 1024
const MAX_FILES = 500
const READ = /\.(ya?ml|co|md|txt|py)$/

/**
 * Configurations in a folder: each subfolder with a config.yml is `default/<subfolder>`, a subfolder of such ones
 * is a namespace, and files that lie in the folder itself (a mounted ConfigMap) are the configuration `rootName`.
 */
export async function listFolder(root: string, rootName: string): Promise<FolderConfig[]> {
  const out: FolderConfig[] = []
  if (await isConfig(root)) out.push(await entry('default', rootName, root))
  for (const name of await folders(root)) {
    const path = join(root, name)
    if (await isConfig(path)) {
      out.push(await entry('default', name, path))
      continue
    }
    for (const inner of await folders(path)) {
      if (await isConfig(join(path, inner))) out.push(await entry(name, inner, join(path, inner)))
    }
  }
  return out
}

async function entry(namespace: string, name: string, path: string): Promise<FolderConfig> {
  let newest = 0
  for (const file of await filesIn(path)) newest = Math.max(newest, (await stat(join(path, file))).mtimeMs)
  return { namespace, name, path, changed: new Date(newest) }
}

/** The files of a configuration. Throws when they are too many or too large to be one. */
export async function readFolder(path: string): Promise<ConfigFiles> {
  const files: ConfigFiles = {}
  for (const file of await filesIn(path)) files[file] = await readFile(join(path, file), 'utf8')
  return files
}

/** The folder that a `file://` URL names, when it is inside `root`; undefined otherwise. */
export function insideFolder(root: string, url: string): string | undefined {
  const path = resolve(decodeURIComponent(url.replace(/^file:\/\//, '')))
  const base = resolve(root)
  return path === base || path.startsWith(base + sep) ? path : undefined
}

async function isConfig(path: string): Promise<boolean> {
  const names = await readdir(path).catch(() => [])
  return names.some((name) => /^config\.ya?ml$/.test(name))
}

// A mounted ConfigMap has links such as `..data` beside its files.
async function folders(path: string): Promise<string[]> {
  const names = (await readdir(path).catch(() => [])).filter((name) => !name.startsWith('.')).sort()
  const kept: string[] = []
  for (const name of names)
    if ((await stat(join(path, name)).catch(() => undefined))?.isDirectory()) kept.push(name)
  return kept
}

async function filesIn(root: string, under = ''): Promise<string[]> {
  const out: string[] = []
  for (const name of (await readdir(join(root, under)).catch(() => [])).sort()) {
    if (name.startsWith('.')) continue
    const path = under ? `${under}/${name}` : name
    const info = await stat(join(root, path)).catch(() => undefined)
    if (info?.isDirectory() && path.split('/').length < 5) out.push(...(await filesIn(root, path)))
    else if (info?.isFile() && READ.test(name)) {
      if (info.size > MAX_FILE) throw new Error(`${path} is larger than ${MAX_FILE} bytes`)
      out.push(path)
    }
    if (out.length > MAX_FILES) throw new Error(`more than ${MAX_FILES} files`)
  }
  return out
}
