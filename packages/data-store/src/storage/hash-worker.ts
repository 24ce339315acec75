// SPDX-License-Identifier: Apache-2.0
import { createHash, type Hash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import type { HashReply, HashRequest } from './hasher.ts'

/** Hashes of the files on their way, by the number that the main thread gave them. */
const hashes = new Map<number, Hash>()

parentPort?.on('message', (request: HashRequest) => {
  const { id, bytes, end } = request
  let digest: string | undefined
  if (bytes) {
    const hash = hashes.get(id) ?? createHash('sha256')
    hashes.set(id, hash)
    hash.update(bytes)
  }
  if (end) {
    digest = (hashes.get(id) ?? createHash('sha256')).digest('hex')
    hashes.delete(id)
  }
  parentPort?.postMessage({ id, digest } satisfies HashReply)
})
