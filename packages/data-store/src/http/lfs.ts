// SPDX-License-Identifier: Apache-2.0

import { ApiError } from '@open-nemo/contract'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import type { RepoType } from '@open-nemo/contract/data-store/refs.ts'
import { type RouteInput, route } from '@open-nemo/runtime'
import { z } from 'zod'
import { FileSink } from '../storage/file-sink.ts'
import { LFS_OID } from '../storage/objects.ts'
import type { Reservation } from '../storage/quota.ts'
import type { Repo, Repositories } from '../storage/repositories.ts'
import { serveFile } from './download.ts'
import { webPath } from './present.ts'
import { type Hub, onDisk, originOf, param, pour, repoOf } from './request.ts'

const batchBody = z.looseObject({
  operation: z.enum(['upload', 'download']),
  objects: z.array(z.looseObject({ oid: z.string(), size: z.int().min(0) })).max(10_000),
  hash_algo: z.string().max(64).nullish(),
})
const verifyBody = z.looseObject({ oid: z.string(), size: z.int().min(0) })

/** Which repositories a path names: the paths at the root do not say whether it is a model or a dataset. */
type Find = (input: RouteInput<unknown>) => Promise<Repo[]>

/** The Git LFS batch API and its objects, below the hub's path and at the root, as its ingress has them. */
export function lfsRoutes({ app, store }: Hub): void {
  const one =
    (type: RepoType): Find =>
    async (input) => [await repoOf(store, type, input)]
  const places: [string, string, Find][] = [
    ['/v1/hf/datasets/:ns/:repo', 'dataset_lfs', one('dataset')],
    ['/v1/hf/:ns/:repo', 'model_lfs', one('model')],
    ['/datasets/:ns/:repo', 'root_dataset_lfs', one('dataset')],
    ['/:ns/:repo', 'root_lfs', (input) => either(store, input)],
  ]
  for (const [base, id, find] of places) mount({ app, store }, `${base}/info/lfs`, id, find)
}

function mount({ app, store }: Hub, base: string, id: string, find: Find): void {
  route(
    app,
    {
      method: 'POST',
      path: `${base}/objects/batch`,
      id: `${id}_batch`,
      summary: 'Say where LFS objects go or come from; one that is here already needs no action',
      body: batchBody,
    },
    (input) => batch(store, input, find),
  )
  for (const path of [`${base}/verify`, `${base}/objects/verify`]) {
    route(
      app,
      {
        method: 'POST',
        path,
        id: `${id}_verify${path.includes('objects') ? '_object' : ''}`,
        summary: 'Check that an object is here',
        body: verifyBody,
      },
      async (input) => {
        const [repo] = await find(input as RouteInput<unknown>)
        await check(repo as Repo, input.body.oid, input.body.size)
        return { oid: input.body.oid, size: input.body.size }
      },
    )
  }
  const path = `${base}/objects/:oid`
  route(
    app,
    { method: 'PUT', path, id: `${id}_upload`, summary: 'Upload an object; its sha256 is checked' },
    async (input) => upload(store, input, await find(input)),
  )
  route(app, { method: 'GET', path, id: `${id}_download`, summary: 'Download an object' }, async (input) => {
    const [repo] = (await find(input)) as [Repo]
    const oid = oidOf(param(input, 'oid'))
    const size = await check(repo, oid)
    return serveFile(input.c, { path: oid, size, etag: oid, commit: '' }, (span) => repo.lfs.open(oid, span))
  })
}

async function either(store: Repositories, input: RouteInput<unknown>): Promise<Repo[]> {
  const found: Repo[] = []
  let missing: unknown
  for (const type of ['dataset', 'model'] as const) {
    try {
      found.push(await repoOf(store, type, input))
    } catch (err) {
      if (!(err instanceof ApiError) || err.status !== 404) throw err
      missing = err
    }
  }
  if (found.length === 0) throw missing
  return found
}

async function batch(
  store: Repositories,
  input: RouteInput<z.infer<typeof batchBody>>,
  find: Find,
): Promise<Response> {
  const repos = await find(input as unknown as RouteInput<unknown>)
  const algorithm = input.body.hash_algo || 'sha256'
  if (algorithm !== 'sha256') throw dataStoreErrors.LFS_ALGORITHM({ value: JSON.stringify(algorithm) })
  const repo = repos[0] as Repo
  const base = `${originOf(input.c)}/v1/hf/${webPath(repo)}.git/info/lfs`
  const upload = input.body.operation === 'upload'
  const objects = await Promise.all(
    input.body.objects.map(({ oid, size }) => object({ repos, base, oid, size, upload })),
  )
  if (upload) withinQuota(store, repos, objects)
  const headers = { 'content-type': 'application/vnd.git-lfs+json' }
  return new Response(JSON.stringify({ transfer: 'basic', objects, hash_algo: 'sha256' }), { headers })
}

/** Refuses the objects for which there is no room, before they are sent. */
function withinQuota(store: Repositories, repos: Repo[], objects: BatchObject[]): void {
  let more = 0
  for (const object of objects) {
    if (!object.actions) continue
    more += object.size
    try {
      for (const repo of repos) store.quotas.check(repo, more)
    } catch (err) {
      if (!(err instanceof ApiError)) throw err
      more -= object.size
      object.error = { code: err.status, message: `${err.message}. ${err.hint}` }
      delete object.actions
    }
  }
}

interface BatchObject {
  oid: string
  size: number
  authenticated?: boolean
  actions?: Record<string, { href: string; header: Record<string, string> }>
  error?: { code: number; message: string }
}

async function object(args: {
  repos: Repo[]
  base: string
  oid: string
  size: number
  upload: boolean
}): Promise<BatchObject> {
  const { repos, base, oid, size } = args
  if (!LFS_OID.test(oid))
    return { oid, size, error: { code: 422, message: 'the oid is not a sha256 in lower case' } }
  // marked first: the collector must not take an object that the client is told not to send
  if (args.upload) for (const repo of repos) await repo.lfs.markPending(oid)
  const sizes = await Promise.all(repos.map((repo) => repo.lfs.size(oid)))
  const href = `${base}/objects/${oid}`
  if (!args.upload) {
    const actual = sizes.find((s) => s !== undefined)
    if (actual === undefined) return { oid, size, error: { code: 404, message: 'the object is not here' } }
    return { oid, size: actual, authenticated: true, actions: { download: { href, header: {} } } }
  }
  // no actions at all for an object that is here: an empty object of actions makes hub 2 fail
  if (sizes.every((s) => s !== undefined)) return { oid, size, authenticated: true }
  const actions = { upload: { href, header: {} }, verify: { href: `${base}/verify`, header: {} } }
  return { oid, size, authenticated: true, actions }
}

async function upload(store: Repositories, input: RouteInput<unknown>, repos: Repo[]): Promise<Response> {
  const oid = oidOf(param(input, 'oid'))
  const expected = Number(input.c.req.header('content-length') ?? 0)
  const rooms = await roomFor(store, repos, { oid, expected })
  await onDisk(async () => {
    const sink = await FileSink.create(store.temporary(), expected)
    try {
      await pour(input.c, {
        write(bytes) {
          for (const room of rooms) room.grow(sink.size + bytes.length)
          return sink.write(bytes)
        },
      })
      const { sha256 } = await sink.finish()
      if (sha256 !== oid) throw dataStoreErrors.LFS_MISMATCH({ actual: sha256, oid })
      const [first, ...others] = repos as [Repo, ...Repo[]]
      await first.lfs.markPending(oid)
      await first.lfs.adopt(sink.path, oid)
      for (const other of others) {
        await other.lfs.markPending(oid)
        await other.lfs.linkFrom(first.lfs, oid)
      }
    } finally {
      await sink.discard()
    }
  }).finally(() => {
    for (const room of rooms) room.release()
  })
  return new Response(null, { status: 200 })
}

/** Room in each repository that has not got the object yet. */
async function roomFor(
  store: Repositories,
  repos: Repo[],
  { oid, expected }: { oid: string; expected: number },
): Promise<Reservation[]> {
  const rooms: Reservation[] = []
  try {
    for (const repo of repos) {
      if (store.quotas.active && (await repo.lfs.size(oid)) === undefined)
        rooms.push(store.quotas.reserve(repo, expected))
    }
    return rooms
  } catch (err) {
    for (const room of rooms) room.release()
    throw err
  }
}

async function check(repo: Repo, oid: string, size?: number): Promise<number> {
  const actual = await repo.lfs.size(oidOf(oid))
  if (actual === undefined) throw dataStoreErrors.LFS_NOT_FOUND({ oid, id: repo.fullName })
  if (size !== undefined && size !== actual)
    throw dataStoreErrors.LFS_SIZE({ oid, path: JSON.stringify(oid), actual, size })
  return actual
}

function oidOf(text: string): string {
  if (LFS_OID.test(text)) return text
  throw dataStoreErrors.LFS_OID_REFUSED({ oid: JSON.stringify(text.slice(0, 100).toWellFormed()) })
}
