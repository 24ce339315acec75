// SPDX-License-Identifier: Apache-2.0
import { createReadStream } from 'node:fs'
import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join, posix } from 'node:path'
import type { Readable } from 'node:stream'

/** What a layer holds at one path. */
export type Entry =
  | { type: 'directory'; mode: number }
  | { type: 'symlink'; target: string }
  | { type: 'file'; mode: number; text: Buffer }
  | { type: 'file'; mode: number; source: string; size: number }

export interface CopyOptions {
  /** Tells for a path inside the copied folder (`a/b`) whether to leave it out, with all below it. */
  skip?: (path: string) => boolean
  /** Replaces a small file's content. */
  rewrite?: (path: string) => ((text: Buffer) => Buffer) | undefined
}

const BLOCK = 512

/**
 * The files of an image layer. The same files give the same bytes: entries are sorted, belong to root, carry no
 * time, and their permissions are 0755 or 0644 (0775 for folders that any user of group 0 may write to).
 */
export class LayerFiles {
  readonly #entries = new Map<string, Entry>()

  /** A folder; `writable` for the group root, to which the arbitrary users of OpenShift belong. */
  folder(path: string, options: { writable?: boolean } = {}): this {
    return this.#put(path, { type: 'directory', mode: options.writable ? 0o775 : 0o755 })
  }

  file(
    path: string,
    content: string | Buffer,
    options: { executable?: boolean; writable?: boolean } = {},
  ): this {
    const mode = (options.executable ? 0o755 : 0o644) | (options.writable ? 0o020 : 0)
    return this.#put(path, { type: 'file', mode, text: Buffer.from(content) })
  }

  /** Gives a file that is there the right to be run. */
  executable(path: string): this {
    const entry = this.#entries.get(clean(path))
    return entry?.type === 'file' ? this.#put(path, { ...entry, mode: entry.mode | 0o111 }) : this
  }

  symlink(path: string, target: string): this {
    return this.#put(path, { type: 'symlink', target })
  }

  /** A file or a folder with everything in it, from disk. Sockets and devices are left out. */
  async copy(source: string, path: string, options: CopyOptions = {}): Promise<this> {
    await this.#copy(source, path, '', options)
    return this
  }

  /** Every entry in the order of the archive, with parent folders that nobody named. */
  entries(): [string, Entry][] {
    const all = new Map(this.#entries)
    for (const path of this.#entries.keys()) {
      for (let parent = posix.dirname(path); parent !== '.'; parent = posix.dirname(parent)) {
        if (!all.has(parent)) all.set(parent, { type: 'directory', mode: 0o755 })
      }
    }
    return [...all].sort(([a], [b]) => (a < b ? -1 : 1))
  }

  /** Bytes of all files. */
  size(): number {
    let sum = 0
    for (const entry of this.#entries.values()) {
      if (entry.type === 'file') sum += 'text' in entry ? entry.text.length : entry.size
    }
    return sum
  }

  async #copy(source: string, path: string, inside: string, options: CopyOptions): Promise<void> {
    if (inside && options.skip?.(inside)) return
    const info = await lstat(source)
    if (info.isSymbolicLink()) this.symlink(path, await readlink(source))
    else if (info.isFile()) {
      const mode = info.mode & 0o111 ? 0o755 : 0o644
      const rewrite = options.rewrite?.(inside)
      if (rewrite) {
        this.#put(path, { type: 'file', mode, text: rewrite(await readFile(source)) })
      } else this.#put(path, { type: 'file', mode, source, size: info.size })
    } else if (info.isDirectory()) {
      if (clean(path)) this.folder(path)
      for (const name of await readdir(source)) {
        await this.#copy(join(source, name), posix.join(path, name), posix.join(inside, name), options)
      }
    }
  }

  #put(path: string, entry: Entry): this {
    this.#entries.set(clean(path), entry)
    return this
  }
}

/** The archive of a layer, piece by piece. */
export async function* tarOf(files: LayerFiles): AsyncGenerator<Buffer> {
  for (const [path, entry] of files.entries()) {
    const name = entry.type === 'directory' ? `${path}/` : path
    const size = entry.type === 'file' ? ('text' in entry ? entry.text.length : entry.size) : 0
    const link = entry.type === 'symlink' ? entry.target : ''
    const kind = { file: '0', symlink: '2', directory: '5' }[entry.type]
    const mode = entry.type === 'symlink' ? 0o777 : entry.mode
    const long = longNames(name, link)
    if (long.length > 0) {
      yield header({ name: 'long-names', size: long.length, mode: 0o644, kind: 'x', link: '' })
      yield padded(long)
    }
    yield header({ name, size, mode, kind, link })
    if (entry.type !== 'file') continue
    if ('text' in entry) yield padded(entry.text)
    else yield* streamed(entry.source, entry.size)
  }
  yield Buffer.alloc(2 * BLOCK)
}

async function* streamed(source: string, size: number): AsyncGenerator<Buffer> {
  let seen = 0
  const stream: Readable = createReadStream(source, { highWaterMark: 1 << 20 })
  for await (const chunk of stream) {
    seen += (chunk as Buffer).length
    yield chunk as Buffer
  }
  if (seen !== size) throw new Error(`${source} changed while it was read`)
  if (size % BLOCK) yield Buffer.alloc(BLOCK - (size % BLOCK))
}

function padded(data: Buffer): Buffer {
  const rest = data.length % BLOCK
  return rest ? Buffer.concat([data, Buffer.alloc(BLOCK - rest)]) : data
}

/** A header of the POSIX ustar format. */
function header(args: { name: string; size: number; mode: number; kind: string; link: string }): Buffer {
  const block = Buffer.alloc(BLOCK)
  const octal = (value: number, at: number, width: number) =>
    block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at)
  block.write(cut(args.name), 0)
  octal(args.mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(args.size, 124, 12)
  octal(0, 136, 12)
  block.write('        ', 148)
  block.write(args.kind, 156)
  block.write(cut(args.link), 157)
  block.write('ustar\x0000', 257)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

/** As much of a name as the old field holds; the whole one is in the record before it. */
const cut = (name: string): string => {
  let short = name
  while (Buffer.byteLength(short) > 100) short = short.slice(0, -1)
  return short
}

/** The pax record of names that do not fit, or nothing. */
function longNames(name: string, link: string): Buffer {
  const records = [
    Buffer.byteLength(name) > 100 ? pax('path', name) : '',
    Buffer.byteLength(link) > 100 ? pax('linkpath', link) : '',
  ]
  return Buffer.from(records.join(''))
}

// The length that starts a record counts its own digits.
function pax(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  let length = Buffer.byteLength(rest)
  while (String(length).length + Buffer.byteLength(rest) !== length) {
    length = String(length).length + Buffer.byteLength(rest)
  }
  return `${length}${rest}`
}

const clean = (path: string): string => posix.normalize(path).replace(/^\/+|\/+$/g, '')
