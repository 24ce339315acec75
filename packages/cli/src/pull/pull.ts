// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { cp, mkdir, readdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { dirname, join, relative, sep } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream as WebStream } from 'node:stream/web'
import { setTimeout as sleep } from 'node:timers/promises'
import { PULLED } from '@open-nemo/runtime/catalogue/model-store.ts'
import { NoRoomError, NotThereError, PullError } from './errors.ts'
import { commitOf, type HubFile, type HubRepo, listFiles, openFile } from './hub.ts'

export interface PullOptions {
  /** Folder that takes the files. */
  target: string
  /** The size of the volume, where the file system tells that of a larger disk below it. */
  capacityBytes?: number | undefined
  /** How often a step is tried; a data store that starts beside the pod has its models a little later. */
  tries?: number | undefined
  say(message: string): void
  signal: AbortSignal
}

/** What was brought, as noted beside the files. */
interface Pulled {
  id: string
  source: string
  revision: string
  files: { path: string; size: number; sha256: string }[]
}

const TRIES = 8
/** Room that is left for the file system itself, and for what a NIM writes beside the model. */
const SPARE = 16 * 2 ** 20

/**
 * Brings all files of a repository into a folder, each whole and checked, going on where an earlier run stopped.
 * The size is looked at first. Throws NoRoomError, PullError.
 */
export async function pullFromHub(repo: HubRepo, options: PullOptions): Promise<Pulled> {
  const { commit, files } = await retry(() => newest(repo), options)
  await assertRoom(repo.id, files, options)
  const before = await readPulled(options.target)
  const done: Pulled['files'] = []
  for (const file of files) {
    const known =
      before?.revision === commit ? before.files.find((each) => each.path === file.path) : undefined
    const sha256 = (await isThere(file, known, options.target)) ? known?.sha256 : undefined
    if (sha256) done.push({ path: file.path, size: file.size, sha256 })
    else done.push({ ...file, sha256: await retry(() => bring(repo, { file, commit, options }), options) })
    const all = { id: repo.id, source: repo.endpoint, revision: commit, files: done }
    await writeAside(join(options.target, PULLED), JSON.stringify(all, null, 2))
  }
  return { id: repo.id, source: repo.endpoint, revision: commit, files: done }
}

/** Copies a model from another volume. Throws NoRoomError, PullError. */
export async function pullFromFolder(
  from: { id: string; folder: string },
  options: PullOptions,
): Promise<Pulled> {
  const entries = await readdir(from.folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const files: HubFile[] = []
  for (const entry of entries) {
    if (!entry.isFile() || entry.name === PULLED || entry.name === 'lost+found') continue
    const path = join(entry.parentPath, entry.name)
    files.push({ path: relative(from.folder, path), size: (await stat(path)).size, sha256: undefined })
  }
  if (files.length === 0)
    throw new PullError(`there are no files in ${from.folder}: check the claim and its path`)
  await assertRoom(from.id, files, options)
  const done: Pulled['files'] = []
  for (const file of files) {
    const path = join(options.target, file.path)
    await mkdir(dirname(path), { recursive: true })
    if ((await sizeOf(path)) !== file.size) {
      options.say(`copying ${file.path} (${file.size} bytes)`)
      await cp(join(from.folder, file.path), `${path}.part`, { dereference: true })
      await rename(`${path}.part`, path)
    }
    done.push({ path: file.path, size: file.size, sha256: await sumOf(path) })
  }
  const all = { id: from.id, source: from.folder, revision: '', files: done }
  await writeAside(join(options.target, PULLED), JSON.stringify(all, null, 2))
  return all
}

/** The files of the newest commit; a repository that is still being filled counts as not there yet. */
async function newest(repo: HubRepo): Promise<{ commit: string; files: HubFile[] }> {
  const commit = await commitOf(repo)
  const files = (await listFiles(repo, commit)).filter((file) => isSafe(file.path))
  if (files.every((file) => file.path.startsWith('.'))) {
    throw new NotThereError(`${repo.id} has no files at ${repo.revision}`)
  }
  return { commit, files }
}

async function bring(
  repo: HubRepo,
  { file, commit, options }: { file: HubFile; commit: string; options: PullOptions },
): Promise<string> {
  const path = join(options.target, file.path)
  const part = `${path}.part`
  await mkdir(dirname(path), { recursive: true })
  const have = await sizeOf(part)
  options.say(`fetching ${file.path} (${file.size} bytes${have > 0 ? `, from ${have}` : ''})`)
  if (have < file.size || file.size === 0) {
    const { body, start } = await openFile(repo, {
      commit,
      path: file.path,
      start: have,
      signal: options.signal,
    })
    const sink = createWriteStream(part, { flags: start > 0 ? 'a' : 'w' })
    await pipeline(Readable.fromWeb(body as WebStream), sink, { signal: options.signal })
  }
  const size = await sizeOf(part)
  const sha256 = await sumOf(part)
  if (size !== file.size || (file.sha256 && sha256 !== file.sha256)) {
    if (size >= file.size) await rm(part, { force: true })
    throw new Error(`${file.path} came damaged: ${size} of ${file.size} bytes, sha256 ${sha256}`)
  }
  await rename(part, path)
  return sha256
}

async function assertRoom(
  id: string,
  files: HubFile[],
  { target, capacityBytes }: PullOptions,
): Promise<void> {
  await mkdir(target, { recursive: true })
  let needed = 0
  let held = 0
  for (const file of files) {
    const path = join(target, file.path)
    const have = Math.min(file.size, Math.max(await sizeOf(path), await sizeOf(`${path}.part`)))
    needed += file.size - have
    held += have
  }
  const { bavail, bsize } = await statfs(target)
  const free = Math.max(0, bavail * bsize - SPARE)
  // The claim may be smaller than the disk that it lies on.
  const available =
    capacityBytes === undefined ? free : Math.min(free, Math.max(0, capacityBytes - SPARE - held))
  if (needed > available) throw new NoRoomError(id, needed, available)
}

async function isThere(
  file: HubFile,
  known: { size: number; sha256: string } | undefined,
  target: string,
): Promise<boolean> {
  const isSame = known?.size === file.size && (!file.sha256 || file.sha256 === known.sha256)
  return isSame && (await sizeOf(join(target, file.path))) === file.size
}

async function readPulled(target: string): Promise<Pulled | undefined> {
  const text = await readFile(join(target, PULLED), 'utf8').catch(() => '')
  try {
    return text ? (JSON.parse(text) as Pulled) : undefined
  } catch {
    return undefined
  }
}

async function retry<T>(work: () => Promise<T>, { say, signal, tries = TRIES }: PullOptions): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await work()
    } catch (err) {
      const isFinal = (err instanceof PullError && !(err instanceof NotThereError)) || isFull(err)
      if (isFinal || signal.aborted || tried >= tries) throw err
      say(`${err instanceof Error ? err.message : err}; trying again`)
    }
    await sleep(Math.min(500 * 2 ** tried, 30_000), undefined, { signal })
  }
}

const isFull = (err: unknown) => err instanceof Error && 'code' in err && err.code === 'ENOSPC'

function isSafe(path: string): boolean {
  const parts = path.split('/')
  return (
    !path.startsWith('/') &&
    !path.includes('\0') &&
    !parts.some((part) => ['', '.', '..'].includes(part)) &&
    !parts[0]?.includes(sep)
  )
}

async function sizeOf(path: string): Promise<number> {
  const info = await stat(path).catch(() => undefined)
  return info?.isFile() ? info.size : 0
}

async function sumOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  return hash.digest('hex')
}

async function writeAside(path: string, text: string): Promise<void> {
  await writeFile(`${path}.tmp`, text)
  await rename(`${path}.tmp`, path)
}
