// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, rename, rm } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import { sizeOf, workPath } from './files.ts'

/** What an upload has to hold, and nothing beside it. */
export const manifest = z.object({
  files: z
    .array(
      z.object({
        path: z.string().min(1).max(1000),
        size: z.number().int().min(0),
        sha256: z.string().regex(/^[0-9a-f]{64}$/),
      }),
    )
    .min(1)
    .max(2000),
})
type Files = z.infer<typeof manifest>['files']

/**
 * Makes the uploaded files the job's output when they are whole: there is either no output or the whole of it. Gives
 * the paths that have to be sent again.
 */
export async function takeOutput(workdir: string, files: Files): Promise<string[]> {
  const upload = join(workdir, 'output.upload')
  const output = join(workdir, 'output')
  const wrong = await differing(upload, files)
  if (wrong.length === 0) {
    await removeOthers(upload, new Set(files.map((file) => file.path)))
    await rm(output, { recursive: true, force: true })
    await rename(upload, output)
    return []
  }
  // The answer to an earlier request may have been lost.
  if ((await differing(output, files)).length === 0) return []
  for (const path of wrong) await rm(workPath(upload, path), { force: true })
  return wrong
}

async function differing(folder: string, files: Files): Promise<string[]> {
  const wrong: string[] = []
  for (const file of files) {
    const path = workPath(folder, file.path)
    const isWhole = (await sizeOf(path)) === file.size && (await sumOf(path)) === file.sha256
    if (!isWhole) wrong.push(file.path)
  }
  return wrong
}

async function removeOthers(folder: string, wanted: ReadonlySet<string>): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile() && !wanted.has(relative(folder, path))) await rm(path)
  }
}

async function sumOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash).catch(() => undefined)
  return hash.digest('hex')
}
