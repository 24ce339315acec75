// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import type { TreeIndex } from '../git/tree.ts'
import type { Repo } from '../storage/repositories.ts'
import { INLINE_LIMIT } from './upload.ts'

export type UploadMode = 'lfs' | 'regular'

/** Formats that are binary at any size, as the hub's own default attributes list them. */
const BINARY =
  /\.(7z|arrow|bin|bz2|ckpt|ftz|gguf|gz|h5|joblib|lfs\.\S+|mlmodel|model|msgpack|npy|npz|onnx|ot|parquet|pb|pickle|pkl|pt|pth|rar|safetensors|tar|tflite|tgz|wasm|xz|zip|zst)$/i

/**
 * How a client should send a file. Hub clients from 1 on answer `lfs` with a request for Xet, which is not
 * here, so they send everything inline; a large file becomes an LFS object all the same.
 */
export function uploadMode(file: { path: string; size: number; agent: string | undefined }): UploadMode {
  if (hubMajor(file.agent) >= 1) return 'regular'
  return file.size > INLINE_LIMIT || BINARY.test(file.path) ? 'lfs' : 'regular'
}

/** The major version of the hub client, -1 when it is another program. */
export function hubMajor(agent: string | undefined): number {
  return Number(/hf_hub\/(\d+)\./.exec(agent ?? '')?.[1] ?? -1)
}

/**
 * The hash of the version that is here, in the kind that the client compares with its own: the sha256 for
 * `lfs`, the git blob id for `regular`. With it a rerun sends only what is missing.
 */
export async function remoteOid(
  repo: Repo,
  index: TreeIndex,
  file: { path: string; size: number; mode: UploadMode },
): Promise<string | undefined> {
  const entry = index.get(file.path)
  if (entry?.type !== 'file') return undefined
  if (file.mode === 'lfs') return entry.lfs?.oid
  if (!entry.lfs) return entry.oid
  // an LFS object has no blob id: it is worth hashing only when it may be the same
  return entry.size === file.size ? blobId(repo, entry.lfs.oid, entry.size) : undefined
}

const known = new Map<string, string>()

async function blobId(repo: Repo, oid: string, size: number): Promise<string> {
  const cached = known.get(oid)
  if (cached) return cached
  const hash = createHash('sha1').update(`blob ${size}\0`)
  const reader = await repo.lfs.open(oid, { start: 0, end: size })
  const block = new Uint8Array(1024 * 1024)
  try {
    for (let n = await reader.read(block); n > 0; n = await reader.read(block))
      hash.update(block.subarray(0, n))
  } finally {
    await reader.close()
  }
  const id = hash.digest('hex')
  if (known.size >= 10_000) known.clear()
  known.set(oid, id)
  return id
}
