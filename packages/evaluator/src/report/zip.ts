// SPDX-License-Identifier: Apache-2.0
import { crc32, deflateRawSync } from 'node:zlib'

/** A file of an archive. Its content comes in pieces, so that large ones are never whole in memory. */
export interface ArchiveFile {
  path: string
  content: AsyncIterable<Uint8Array>
}

const MAX_SIZE = 0xffff_fffe
const VERSION = 20
/** Sizes follow the content; names are UTF-8. */
const FLAGS = 0x0808
const DEFLATE = 8

/** A ZIP archive, written while its files are read. Each piece of a file is a deflate block of its own. */
export async function* zip(files: AsyncIterable<ArchiveFile>, at = new Date()): AsyncGenerator<Uint8Array> {
  const entries: Buffer[] = []
  let offset = 0
  const time = dosTime(at)
  for await (const { path, content } of files) {
    const name = Buffer.from(path)
    const start = offset
    const header = Buffer.alloc(30)
    header.writeUInt32LE(0x0403_4b50, 0)
    header.writeUInt16LE(VERSION, 4)
    header.writeUInt16LE(FLAGS, 6)
    header.writeUInt16LE(DEFLATE, 8)
    header.writeUInt32LE(time, 10)
    header.writeUInt16LE(name.length, 26)
    yield header
    yield name
    offset += header.length + name.length
    let crc = 0
    let size = 0
    let packed = 0
    for await (const piece of content) {
      if (piece.length === 0) continue
      crc = crc32(piece, crc)
      size += piece.length
      const block = deflateRawSync(piece, { finishFlush: 2 /* Z_SYNC_FLUSH: not the last block */ })
      packed += block.length
      yield block
    }
    const last = deflateRawSync(new Uint8Array(0))
    packed += last.length
    yield last
    if (size > MAX_SIZE || packed > MAX_SIZE) throw new Error(`${path} is too large for a ZIP archive`)
    const descriptor = Buffer.alloc(16)
    descriptor.writeUInt32LE(0x0807_4b50, 0)
    descriptor.writeUInt32LE(crc, 4)
    descriptor.writeUInt32LE(packed, 8)
    descriptor.writeUInt32LE(size, 12)
    yield descriptor
    offset += packed + descriptor.length
    entries.push(centralEntry({ name, time, crc, packed, size, start }))
  }
  const directory = Buffer.concat(entries)
  yield directory
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x0605_4b50, 0)
  end.writeUInt16LE(entries.length, 8)
  end.writeUInt16LE(entries.length, 10)
  end.writeUInt32LE(directory.length, 12)
  end.writeUInt32LE(offset, 16)
  yield end
}

function centralEntry(entry: {
  name: Buffer
  time: number
  crc: number
  packed: number
  size: number
  start: number
}): Buffer {
  const head = Buffer.alloc(46)
  head.writeUInt32LE(0x0201_4b50, 0)
  head.writeUInt16LE(VERSION, 4)
  head.writeUInt16LE(VERSION, 6)
  head.writeUInt16LE(FLAGS, 8)
  head.writeUInt16LE(DEFLATE, 10)
  head.writeUInt32LE(entry.time, 12)
  head.writeUInt32LE(entry.crc, 16)
  head.writeUInt32LE(entry.packed, 20)
  head.writeUInt32LE(entry.size, 24)
  head.writeUInt16LE(entry.name.length, 28)
  head.writeUInt32LE(entry.start, 42)
  return Buffer.concat([head, entry.name])
}

function dosTime(at: Date): number {
  const date = ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate()
  const time = (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1)
  return ((date << 16) | time) >>> 0
}
