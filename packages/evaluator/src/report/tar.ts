// SPDX-License-Identifier: Apache-2.0
import type { ArchiveFile } from './zip.ts'

const BLOCK = 512

/** A tar archive (ustar). A file's size comes before its content, so each is gathered first. */
export async function* tar(files: AsyncIterable<ArchiveFile>, at = new Date()): AsyncGenerator<Uint8Array> {
  for await (const { path, content } of files) {
    const pieces: Uint8Array[] = []
    let size = 0
    for await (const piece of content) {
      pieces.push(piece)
      size += piece.length
    }
    yield header(path, size, at)
    yield* pieces
    const rest = size % BLOCK
    if (rest > 0) yield Buffer.alloc(BLOCK - rest)
  }
  yield Buffer.alloc(2 * BLOCK)
}

function header(path: string, size: number, at: Date): Buffer {
  const { prefix, name } = splitPath(path)
  const block = Buffer.alloc(BLOCK)
  const octal = (value: number, offset: number, width: number) =>
    block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, offset, 'latin1')
  block.write(name, 0, 100)
  octal(0o644, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(Math.floor(at.getTime() / 1000), 136, 12)
  block.write('        ', 148, 'latin1')
  block.write('0', 156, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  block.write(prefix, 345, 155)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

/** A long path is divided at a slash; what does not fit even then is cut, keeping its ending. */
function splitPath(path: string): { prefix: string; name: string } {
  if (Buffer.byteLength(path) <= 100) return { prefix: '', name: path }
  const slash = path.indexOf('/', Math.max(0, path.length - 101))
  const [prefix, name] = slash > 0 ? [path.slice(0, slash), path.slice(slash + 1)] : ['', path]
  return { prefix: prefix.slice(0, 155), name: name.slice(-100) }
}
