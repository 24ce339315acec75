// SPDX-License-Identifier: Apache-2.0
import { invalid, newId } from '@open-nemo/contract'
import { dataStoreErrors as errors } from '@open-nemo/contract/data-store/errors.ts'
import { type FileObject, fileDeleted, fileList, fileObject } from '@open-nemo/contract/data-store/files.ts'
import { errorResponse, type RouteInput, route } from '@open-nemo/runtime'
import type { FileRows } from '../storage/file-rows.ts'
import { checkPath } from '../storage/paths.ts'
import type { Repositories } from '../storage/repositories.ts'
import { serveFile } from './download.ts'
import { lifetimeOf } from './file-expiry.ts'
import { change, filesRepo, removeFile } from './files-repo.ts'
import { readForm, type UploadedForm } from './multipart.ts'
import { bodyOf, type Hub, onDisk, param, whole } from './request.ts'

const PURPOSES = ['fine-tune', 'batch', 'assistants', 'vision', 'user_data', 'evals']
const MAX_BYTES = 5 * 2 ** 30
const PATH = '/v1/files'

/** OpenAI's files, as `/v1/fine_tuning/jobs` takes them: each is a file of one dataset repository. */
export function openAiFileRoutes({ app, store }: Hub, rows: FileRows): void {
  // these have OpenAI's shape of errors, while the rest of the service has the hub's
  app.use(`${PATH}/*`, async (c, next) => {
    await next()
    if (c.error) c.res = errorResponse(c.error, 'openai', c.get('requestId')).response
  })
  const find = async (input: Pick<RouteInput<unknown>, 'params'>): Promise<FileObject> => {
    const id = param(input, 'id')
    const file = id.includes('\0') ? undefined : await rows.get(id)
    if (!file) throw errors.FILE_NOT_FOUND({ id: JSON.stringify(id.slice(0, 100)) })
    return file
  }
  route(
    app,
    {
      method: 'POST',
      path: PATH,
      id: 'create_file',
      summary:
        'Upload a file (multipart: file, purpose, and expires_after[anchor] and [seconds] where it is to go by itself)',
      response: fileObject,
    },
    async ({ c }) => {
      const repo = await filesRepo(store)
      const room = store.quotas.reserve(repo, leastFile(c.req.header('content-length')))
      let form: UploadedForm | undefined
      try {
        form = await onDisk(() =>
          readForm(bodyOf(c), c.req.header('content-type') ?? '', {
            name: 'file',
            path: store.temporary(),
            maxBytes: MAX_BYTES,
            room,
          }),
        )
        return await keep(store, rows, form)
      } finally {
        room.release()
        await form?.file?.sink.discard()
      }
    },
  )
  route(
    app,
    { method: 'GET', path: PATH, id: 'list_files', summary: 'List files', response: fileList },
    async ({ query }) => {
      const limit = whole(query, 'limit', 1000, 10_000)
      const found = await rows.list({
        purpose: query.get('purpose') || undefined,
        after: query.get('after') || undefined,
        descending: query.get('order') !== 'asc',
        limit: limit + 1,
      })
      const data = found.slice(0, limit)
      return {
        object: 'list' as const,
        data,
        has_more: found.length > limit,
        first_id: data[0]?.id ?? null,
        last_id: data.at(-1)?.id ?? null,
      }
    },
  )
  route(
    app,
    { method: 'GET', path: `${PATH}/:id`, id: 'get_file', summary: 'Describe a file', response: fileObject },
    find,
  )
  route(
    app,
    { method: 'GET', path: `${PATH}/:id/content`, id: 'get_file_content', summary: 'Download a file' },
    async (input) => {
      const { id, filename } = await find(input)
      const repo = await filesRepo(store)
      const head = await store.commitOf(repo, 'main')
      const entry = (await store.trees.read(repo.gitDir, head)).get(`${id}/${filename}`)
      if (entry?.type !== 'file' || !entry.lfs) throw errors.FILE_NOT_FOUND({ id })
      const { oid } = entry.lfs
      return serveFile(input.c, { path: filename, size: entry.size, etag: oid, commit: head }, (span) =>
        repo.lfs.open(oid, span),
      )
    },
  )
  route(
    app,
    {
      method: 'DELETE',
      path: `${PATH}/:id`,
      id: 'delete_file',
      summary: 'Delete a file',
      response: fileDeleted,
    },
    async (input) => {
      const { id } = await find(input)
      await removeFile(store, rows, id)
      return { id, object: 'file' as const, deleted: true as const }
    },
  )
}

/** A form of so many bytes holds a file that is a little smaller. */
function leastFile(length: string | undefined): number {
  return Math.max(0, Number(length ?? 0) - 65_536)
}

async function keep(
  store: Repositories,
  rows: FileRows,
  { fields, file }: UploadedForm,
): Promise<FileObject> {
  if (!file) throw invalid(['body', 'file'], 'is missing', 'missing')
  const purpose = fields.purpose ?? ''
  if (!PURPOSES.includes(purpose)) throw invalid(['body', 'purpose'], `must be one of ${PURPOSES.join(', ')}`)
  const lifetime = lifetimeOf(fields)
  // Browsers and scripts may send a whole path.
  const filename = file.filename.split(/[/\\]/).at(-1) || 'file'
  const id = newId('file')
  checkPath(`${id}/${filename}`)
  const { sha256: oid, size } = await file.sink.finish()
  const repo = await filesRepo(store)
  await repo.lfs.markPending(oid)
  await repo.lfs.adopt(file.sink.path, oid)
  await change(store, repo, `Add ${id}`, {
    key: 'lfsFile',
    value: { path: `${id}/${filename}`, algo: 'sha256', oid, size },
  })
  const createdAt = Math.floor(Date.now() / 1000)
  const added: FileObject = {
    id,
    object: 'file',
    bytes: size,
    created_at: createdAt,
    expires_at: lifetime === undefined ? null : createdAt + lifetime,
    filename,
    purpose,
    status: 'processed',
  }
  await rows.add(added)
  return added
}
