// SPDX-License-Identifier: Apache-2.0
import { createReadStream, createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { ApiError } from '@open-nemo/contract'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import { type RouteInput, route } from '@open-nemo/runtime'
import { refusePush } from '../git/report.ts'
import { announcement, type PackService, startPack } from '../git/smart.ts'
import { isNodeError } from '../storage/errors.ts'
import type { Reservation } from '../storage/quota.ts'
import type { Repo, Repositories } from '../storage/repositories.ts'
import { bodyOf, type Hub, onDisk, REPO_TYPES, repoOf } from './request.ts'

type Input = RouteInput<unknown>
type Find = (input: Input) => Promise<Repo>

/** Most bytes of a request after unpacking; git compresses what it asks for, and packs are compressed already. */
const MAX_UNPACKED = 256 * 2 ** 20
/** So much of a push is kept when it is refused: the names of its refs come first. */
const HEAD_BYTES = 256 * 1024

/** `git clone`, `git fetch` and `git push` over HTTP, at the addresses that clients of the hub and of Gitea use. */
export function gitRoutes({ app, store }: Hub): void {
  const places: [string, string, Find][] = [
    ['/v1/hf/datasets/:ns/:repo', 'dataset_git', (input) => repoOf(store, 'dataset', input)],
    ['/v1/hf/:ns/:repo', 'model_git', (input) => repoOf(store, 'model', input)],
    ['/datasets/:ns/:repo', 'root_dataset_git', (input) => repoOf(store, 'dataset', input)],
    ['/:ns/:repo', 'root_git', (input) => either(store, input)],
  ]
  for (const [base, id, find] of places) {
    route(
      app,
      {
        method: 'GET',
        path: `${base}/info/refs`,
        id: `${id}_refs`,
        summary: 'What a repository has, for git fetch and git push',
      },
      async (input) => advertise(store, await find(input), input),
    )
    for (const service of ['upload-pack', 'receive-pack'] as const) {
      route(
        app,
        {
          method: 'POST',
          path: `${base}/git-${service}`,
          id: `${id}_${service.replace('-', '_')}`,
          summary: service === 'upload-pack' ? 'Give objects to git fetch' : 'Take objects from git push',
        },
        async (input) => exchange(store, await find(input), service, input),
      )
    }
  }
}

async function either(store: Repositories, input: Input): Promise<Repo> {
  let missing: unknown
  for (const type of REPO_TYPES) {
    try {
      return await repoOf(store, type, input)
    } catch (err) {
      if (!(err instanceof ApiError) || err.status !== 404) throw err
      missing = err
    }
  }
  throw missing
}

function advertise(store: Repositories, repo: Repo, { query, c }: Input): Response {
  const [, service] = /^git-(upload-pack|receive-pack)$/.exec(query.get('service') ?? '') ?? []
  if (service === undefined) throw dataStoreErrors.GIT_DUMB({ id: repo.fullName })
  const child = startPack(repo.gitDir, service as PackService, {
    advertise: true,
    protocol: c.req.header('git-protocol'),
    hooks: store.hooks,
    lfs: repo.lfs,
  })
  child.stdin.end()
  const body = Readable.from(withAnnouncement(service as PackService, child.stdout))
  return answer(body, `application/x-git-${service}-advertisement`)
}

async function* withAnnouncement(service: PackService, refs: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield Buffer.from(announcement(service))
  yield* refs
}

/**
 * One request of git. It is kept in a file first: a slow client must neither hold the repository's lock during a push
 * nor a git process during a fetch.
 */
async function exchange(
  store: Repositories,
  repo: Repo,
  service: PackService,
  { c }: Input,
): Promise<Response> {
  const spool = store.temporary()
  const protocol = c.req.header('git-protocol')
  const type = `application/x-git-${service}-result`
  const room = store.quotas.reserve(repo, 0)
  try {
    const intake = new Intake(service === 'receive-pack' ? room : undefined)
    intake.expect(Number(c.req.header('content-length') ?? 0))
    await onDisk(() => receive(bodyOf(c), spool, { encoding: c.req.header('content-encoding'), intake }))
    if (intake.refused) {
      await rm(spool, { force: true })
      return answer(Readable.from([refusePush(intake.head, intake.refused.message)]), type)
    }
    const run = () => {
      const child = startPack(repo.gitDir, service, {
        advertise: false,
        protocol,
        hooks: store.hooks,
        lfs: repo.lfs,
      })
      child.stdin.on('error', () => {})
      createReadStream(spool)
        .on('close', () => void rm(spool, { force: true }))
        .on('error', () => child.kill())
        .pipe(child.stdin)
      return child
    }
    if (service === 'upload-pack') return answer(run().stdout, type)
    const report = await store.exclusive(repo, async () => {
      const chunks: Buffer[] = []
      for await (const chunk of run().stdout) chunks.push(chunk)
      return Buffer.concat(chunks)
    })
    await store.pushed(repo)
    return answer(Readable.from([report]), type)
  } catch (err) {
    await rm(spool, { force: true })
    throw err
  } finally {
    room.release()
  }
}

async function receive(
  body: AsyncIterable<Uint8Array>,
  path: string,
  { encoding, intake }: { encoding: string | undefined; intake: Intake },
): Promise<void> {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 })
  const take = (chunks: AsyncIterable<Buffer>) => intake.take(chunks)
  if (encoding === 'gzip' || encoding === 'x-gzip') {
    await pipeline(body, createGunzip(), bounded, take, file).catch((cause: unknown) => {
      if (!isNodeError(cause, 'Z_DATA_ERROR', 'Z_BUF_ERROR')) throw cause
      throw dataStoreErrors.GIT_ENCODING({ reason: cause.message }, { cause })
    })
  } else await pipeline(Readable.from(body), take, file)
}

async function* bounded(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let total = 0
  for await (const chunk of chunks) {
    total += chunk.length
    if (total > MAX_UNPACKED) throw dataStoreErrors.GIT_TOO_LARGE({ limit: MAX_UNPACKED })
    yield chunk
  }
}

/** Lets a push in as long as there is room; the rest of one that is refused is read, since git listens only then. */
class Intake {
  head = Buffer.alloc(0)
  refused: ApiError | undefined
  readonly #room: Reservation | undefined
  #total = 0

  constructor(room: Reservation | undefined) {
    this.#room = room
  }

  expect(bytes: number): void {
    try {
      this.#room?.grow(bytes)
    } catch (err) {
      if (!(err instanceof ApiError)) throw err
      this.refused = err
    }
  }

  async *take(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      this.#total += chunk.length
      if (this.#room && this.head.length < HEAD_BYTES)
        this.head = Buffer.concat([this.head, chunk.subarray(0, HEAD_BYTES - this.head.length)])
      if (!this.refused) this.expect(this.#total)
      if (!this.refused) yield chunk
    }
  }
}

function answer(body: Readable, type: string): Response {
  const headers = { 'content-type': type, 'cache-control': 'no-cache, max-age=0, must-revalidate' }
  return new Response(Readable.toWeb(body) as ReadableStream<Uint8Array>, { headers })
}
