// SPDX-License-Identifier: Apache-2.0
import { createHash, randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { DataStoreClient, RevisionTarget } from '@open-nemo/contract/data-store/client.ts'
import { AdapterFormatError, type BaseShape } from '../lora/convert.ts'
import { convertInThread } from '../lora/in-thread.ts'

/** Largest adapter_model.safetensors that is taken, in bytes. */
const MAX_WEIGHTS = 1024 ** 3
const MAX_CONFIG = 1024 ** 2
/** Raised when the conversion changes what it writes: files made before are then made anew. */
const FORMAT = 1

export interface AdapterBase {
  id: string
  sha256: string
  shape: BaseShape
}

export interface Artifact {
  /** Names the bytes: repository, commit and base. */
  key: string
  path: string
}

/**
 * The GGUF file of an adapter in the data store, downloaded and converted unless it is here already. Files are made
 * aside and renamed, so that one is there whole or not at all.
 */
export async function fetchAdapter(args: {
  store: DataStoreClient
  target: RevisionTarget
  base: AdapterBase
  dir: string
  signal: AbortSignal
}): Promise<Artifact> {
  const { store, target, base, dir } = args
  const commit = await store.resolveRevision(target)
  const key = createHash('sha256')
    .update(JSON.stringify([FORMAT, target.type, target.id, commit, base.sha256]))
    .digest('hex')
  const path = join(dir, `${key}.gguf`)
  if (existsSync(path)) return { key, path }
  const at = { type: target.type, id: target.id, revision: commit, signal: args.signal }
  const config = new TextDecoder().decode(
    await download(store, { ...at, path: 'adapter_config.json' }, MAX_CONFIG),
  )
  checkBase(config, base)
  const weights = await download(store, { ...at, path: 'adapter_model.safetensors' }, MAX_WEIGHTS)
  const gguf = await convertInThread(config, weights, base.shape)
  await mkdir(dir, { recursive: true })
  const tmp = join(dir, `.${randomUUID()}.tmp`)
  await writeFile(tmp, gguf)
  const record = { repository: target.id, commit, base: base.id, base_sha256: base.sha256 }
  await writeFile(join(dir, `${key}.json`), JSON.stringify(record))
  await rename(tmp, path)
  return { key, path }
}

/** Removes converted files that no adapter uses. */
export async function sweepArtifacts(dir: string, used: ReadonlySet<string>): Promise<void> {
  if (!existsSync(dir)) return
  for (const name of await readdir(dir)) {
    const key = name.replace(/\.(gguf|json)$/, '')
    if (!used.has(key)) await rm(join(dir, name), { force: true })
  }
}

/** A file of a repository as a whole; no more than `limit` bytes of it. */
export async function download(
  store: DataStoreClient,
  target: Parameters<DataStoreClient['download']>[0],
  limit: number,
): Promise<Uint8Array> {
  const { stream } = await store.download(target)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength
    if (size > limit) throw new AdapterFormatError(`${target.path} is larger than ${limit} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** An adapter may say which weights it was made for; others would answer nonsense without any error. */
function checkBase(config: string, base: AdapterBase): void {
  let made: unknown
  try {
    made = (JSON.parse(config) as Record<string, unknown>).base_model_sha256
  } catch {
    return // The conversion says what is wrong with it.
  }
  if (typeof made === 'string' && made !== base.sha256) {
    throw new AdapterFormatError(
      `it was trained on weights ${made.slice(0, 12)}, and ${base.id} has ${base.sha256.slice(0, 12)} now`,
    )
  }
}
