// SPDX-License-Identifier: Apache-2.0
import { mkdir, open, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import { platformErrors } from '@open-nemo/contract/platform/errors.ts'
import type { Context } from 'hono'

const PART = /^[\w\-. ()+@=,]{1,200}$/
const MAX_DEPTH = 12

/** The path of `name` below `folder`. Throws a 400 for names that would lead elsewhere. */
export function workPath(folder: string, name: string): string {
  const parts = name.split('/')
  const isPlain = parts.every((part) => PART.test(part) && part !== '.' && part !== '..')
  if (!isPlain || parts.length > MAX_DEPTH) throw errors.WORK_PATH_BAD({ path: name.slice(0, 200) })
  return join(folder, ...parts)
}

/** Bytes of a file; 0 when there is none. */
export async function sizeOf(path: string): Promise<number> {
  const info = await stat(path).catch(() => undefined)
  return info?.isFile() ? info.size : 0
}

/** Appends when the file is `offset` long, and is on the disk before the answer; gives the size it has. */
export async function appendTo(
  path: string,
  offset: number,
  body: Uint8Array,
): Promise<{ taken: boolean; size: number }> {
  const before = await sizeOf(path)
  if (before !== offset) return { taken: false, size: before }
  await mkdir(dirname(path), { recursive: true })
  const file = await open(path, 'a')
  try {
    await file.writeFile(body)
    await file.datasync()
  } finally {
    await file.close()
  }
  return { taken: true, size: offset + body.length }
}

/** The body, of at most `limit` bytes. Throws a 413 for a longer one without reading it to its end. */
export async function readBody(c: Context, limit: number): Promise<Uint8Array> {
  if (Number(c.req.header('content-length') ?? 0) > limit) throw platformErrors.BODY_TOO_LARGE({ limit })
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of (c.req.raw.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > limit) throw platformErrors.BODY_TOO_LARGE({ limit })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const waiting = new Map<string, Promise<unknown>>()

/** Runs one piece of work for a key at a time. */
export async function locked<T>(key: string, work: () => Promise<T>): Promise<T> {
  const before = waiting.get(key) ?? Promise.resolve()
  const mine = before.catch(() => undefined).then(work)
  waiting.set(key, mine)
  try {
    return await mine
  } finally {
    if (waiting.get(key) === mine) waiting.delete(key)
  }
}
