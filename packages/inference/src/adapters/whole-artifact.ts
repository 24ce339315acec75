// SPDX-License-Identifier: Apache-2.0
import { createHash, randomUUID } from 'node:crypto'
import { createWriteStream, existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream } from 'node:stream/web'
import { UpstreamError } from '@open-nemo/contract'
import type { DataStoreClient, RevisionTarget } from '@open-nemo/contract/data-store/client.ts'
import { writeInThread } from '../gguf/in-thread.ts'
import type { WeightType } from '../gguf/quantize.ts'
import { download } from './artifact.ts'

/** Raised when a conversion changes what it writes: files made before are then made anew. */
const FORMAT = 1
const EMBEDDING_FORMAT = 1
/** Half the size of f16 and twice as quick; what it changes of a weight is less than a hundredth of its block's largest. */
const TYPE: WeightType = 'q8_0'
const MAX_TEMPLATE = 1024 ** 2
const ROOM_LEFT = 500e6

export interface WholeArtifact {
  /** Names the bytes: repository, commit and base. */
  key: string
  path: string
  sha256: string
  /** The chat template that came with the weights. */
  template: string | undefined
}

/** What a whole model was tuned from: the file of a model that generates text, or the folder of one that embeds. */
export interface WholeBase {
  path: string
  sha256: string
  isFolder?: boolean
}

/**
 * The GGUF file of a whole model in the data store (`model.safetensors`), downloaded and converted unless it is here
 * already.
 */
export async function fetchWhole(args: {
  store: DataStoreClient
  target: RevisionTarget
  base: WholeBase
  dir: string
  signal: AbortSignal
}): Promise<WholeArtifact> {
  const { store, target, base, dir, signal } = args
  const commit = await store.resolveRevision(target)
  const kind = base.isFolder ? ['embedding', EMBEDDING_FORMAT] : ['whole', FORMAT, TYPE]
  const key = createHash('sha256')
    .update(JSON.stringify([...kind, target.type, target.id, commit, base.sha256]))
    .digest('hex')
  const path = join(dir, `${key}.gguf`)
  const facts = join(dir, `${key}.json`)
  if (existsSync(path)) {
    const { template } = JSON.parse(await readFile(facts, 'utf8')) as { template?: string }
    return { key, path, sha256: key, template }
  }
  await mkdir(dir, { recursive: true })
  const at = { type: target.type, id: target.id, revision: commit, signal }
  const template = await optionalText(store, { ...at, path: 'chat_template.jinja' })
  const tmp = join(dir, `.${randomUUID()}.tmp`)
  try {
    const { stream, size } = await store.download({ ...at, path: 'model.safetensors' })
    await requireRoom(dir, size)
    await pipeline(
      Readable.fromWeb(stream as unknown as ReadableStream),
      createWriteStream(`${tmp}.safetensors`),
      { signal },
    )
    const files = { weights: `${tmp}.safetensors`, to: tmp }
    await writeInThread(
      base.isFolder ? { folder: base.path, ...files } : { base: base.path, type: TYPE, ...files },
    )
    await writeFile(
      facts,
      JSON.stringify({ repository: target.id, commit, base_sha256: base.sha256, template }),
    )
    await rename(tmp, path)
  } finally {
    await Promise.all([rm(tmp, { force: true }), rm(`${tmp}.safetensors`, { force: true })])
  }
  return { key, path, sha256: key, template }
}

async function optionalText(
  store: DataStoreClient,
  target: Parameters<DataStoreClient['download']>[0],
): Promise<string | undefined> {
  try {
    return new TextDecoder().decode(await download(store, target, MAX_TEMPLATE))
  } catch (err) {
    if (err instanceof UpstreamError && err.status === 404) return undefined
    throw err
  }
}

/** The download and what is made of it are on the disk together for a moment. */
async function requireRoom(dir: string, size: number): Promise<void> {
  const { bavail, bsize } = await statfs(dir)
  const needed = 2 * size + ROOM_LEFT
  if (bavail * bsize >= needed) return
  const gb = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`
  throw new Error(`the disk has ${gb(bavail * bsize)} left, and taking the model up needs ${gb(needed)}`)
}
