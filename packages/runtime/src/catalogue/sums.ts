// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'

/**
 * The sha256 of a file in hexadecimal. It is remembered in the cache under the file's path, size and time, so that
 * large weights are read once and again when they changed.
 */
export async function sha256OfFile(path: string, cacheDir: string): Promise<string> {
  const info = await stat(path, { bigint: true })
  const identity = `${resolve(path)}\n${info.size}\n${info.mtimeNs}\n${info.ino}`
  const memo = join(cacheDir, 'sums', createHash('sha256').update(identity).digest('hex'))
  const known = await readFile(memo, 'utf8').catch(() => '')
  if (/^[0-9a-f]{64}$/.test(known)) return known
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash)
  const sum = hash.digest('hex')
  await mkdir(join(cacheDir, 'sums'), { recursive: true })
  await writeFile(`${memo}.${process.pid}`, sum)
  await rename(`${memo}.${process.pid}`, memo)
  return sum
}
