// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { Worker } from 'node:worker_threads'

/** One request to the worker: `bytes` are in shared memory and stay as they are until the reply. */
export interface HashRequest {
  id: number
  bytes?: Uint8Array
  end?: boolean
}
export interface HashReply {
  id: number
  digest: string | undefined
}

/** Makes a sha256 block by block. */
export interface Hasher {
  /** Resolves when the bytes may be overwritten. */
  update(bytes: Uint8Array): Promise<void> | undefined
  /** The hash in hexadecimal; ends the hasher. */
  digest(): Promise<string>
  /** Ends the hasher without a result. */
  drop(): void
}

/** From this size on the hash is made on another thread. */
const LARGE = 32 * 1024 * 1024

/** The hasher that is right for about so many bytes. */
export function hasherFor(bytes: number): Hasher {
  return bytes >= LARGE ? workerHasher() : inlineHasher()
}

/** Hashes on the calling thread: right for small files, which would only wait for a worker. */
function inlineHasher(): Hasher {
  const hash = createHash('sha256')
  return {
    update(bytes) {
      hash.update(bytes)
      return undefined
    },
    digest: async () => hash.digest('hex'),
    drop() {},
  }
}

interface Waiting {
  resolve(digest: string | undefined): void
  reject(error: Error): void
}

let shared: { worker: Worker; waiting: Waiting[] } | undefined
let nextId = 0

/**
 * Hashes on a thread that all large files share, so that the main one has time for the socket: at a gigabyte
 * the hash is a third of the work. Blocks are best in shared memory: others are copied.
 */
function workerHasher(): Hasher {
  const id = ++nextId
  const ask = (request: Omit<HashRequest, 'id'>) =>
    new Promise<string | undefined>((resolve, reject) => {
      const { worker, waiting } = thread()
      if (waiting.length === 0) worker.ref()
      waiting.push({ resolve, reject })
      worker.postMessage({ id, ...request })
    })
  return {
    update: async (bytes) => void (await ask({ bytes })),
    digest: async () => (await ask({ end: true })) ?? '',
    drop: () => void ask({ end: true }).catch(() => {}),
  }
}

function thread() {
  if (shared) return shared
  const worker = new Worker(new URL('./hash-worker.ts', import.meta.url))
  const waiting: Waiting[] = []
  const mine = { worker, waiting }
  const fail = (error: Error) => {
    if (shared === mine) shared = undefined
    for (const one of waiting.splice(0)) one.reject(error)
  }
  worker.on('message', (reply: HashReply) => {
    // replies come in the order of the requests
    waiting.shift()?.resolve(reply.digest)
    if (waiting.length === 0) worker.unref()
  })
  worker.on('error', fail)
  worker.on('exit', () => fail(new Error('the hashing thread ended')))
  shared = mine
  return mine
}
