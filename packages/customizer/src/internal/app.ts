// SPDX-License-Identifier: Apache-2.0
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import { type App, createApp, readJson, type ServiceContext, validate } from '@open-nemo/runtime'
import type { Context } from 'hono'
import { z } from 'zod'
import type { JobTable } from '../jobs/list.ts'
import { ACTIVE } from '../jobs/progress.ts'
import type { CustomizationJob } from '../jobs/types.ts'
import { appendTo, locked, readBody, sizeOf, workPath } from './files.ts'
import { manifest, takeOutput } from './output.ts'
import { serveRange } from './range.ts'
import { isTokenOf } from './token.ts'

export interface InternalOptions {
  ctx: Pick<ServiceContext, 'catalogue' | 'log' | 'metrics'>
  jobs: JobTable
  /** Folder with one work folder for each job. */
  dir: string
  internalToken: string
}

/** What a pod may read of a work folder: its input, nothing that others wrote. */
const INPUT = /^(job\.json|chat_template\.jinja|data\/.+)$/
const STREAMS = ['events.jsonl', 'trainer.log']
const MAX_PIECE = 16 * 2 ** 20
const MAX_STREAM = 2 ** 30
const MAX_OUTPUT = 16 * 2 ** 30
const MAX_MANIFEST = 2 ** 20

/**
 * The routes for training pods, on a port of their own. A pod is told by its job's token, may do everything again,
 * and is answered 410 once its job is not active any more.
 */
export function createInternalApp({ ctx, jobs, dir, internalToken }: InternalOptions): App {
  const app = createApp({
    name: 'customizer-internal',
    title: 'Customizer, for its training pods',
    log: ctx.log,
    metrics: ctx.metrics,
  })
  const root = '/internal/jobs/:id'
  const uploads = (id: string) => join(dir, id, 'output.upload')

  async function jobOf(c: Context): Promise<CustomizationJob> {
    const id = c.req.param('id') ?? ''
    if (!isTokenOf(id, internalToken, c.req.header('authorization'))) throw errors.JOB_TOKEN_WRONG({ id })
    const job = await jobs.get(id)
    if (!job || !ACTIVE.includes(job.status as never) || job.isCancelRequested) {
      throw errors.JOB_NOT_WANTED({ id, status: job?.status ?? 'gone' })
    }
    return job
  }

  app.get(`${root}/workdir/:path{.+}`, async (c) => {
    const { id } = await jobOf(c)
    const name = c.req.param('path')
    const path = workPath(join(dir, id), name)
    if (!INPUT.test(name)) throw errors.WORK_FILE_MISSING({ path: name })
    return serveRange(c, path, name)
  })

  app.get(`${root}/model`, async (c) => {
    const job = await jobOf(c)
    const name = job.payload.config_snapshot.base_model.replace(/@[^@]*$/, '')
    const model = ctx.catalogue.resolve(name)
    if (!model) throw errors.WORK_FILE_MISSING({ path: name })
    return serveRange(c, (await ctx.catalogue.ensureGguf(model)).path, name)
  })

  app.get(`${root}/streams/:name`, async (c) => {
    const { id } = await jobOf(c)
    return c.json({ size: await sizeOf(join(dir, id, streamOf(c))) })
  })
  app.post(`${root}/streams/:name`, async (c) => {
    const { id } = await jobOf(c)
    const name = streamOf(c)
    const body = await readBody(c, MAX_PIECE)
    // A half line would swallow the first one of a pod that begins anew.
    if (name === 'events.jsonl' && body.at(-1) !== 10) throw errors.STREAM_NOT_LINES({ name })
    return append(c, join(dir, id, name), body, MAX_STREAM)
  })

  app.get(`${root}/output/:path{.+}`, async (c) => {
    const { id } = await jobOf(c)
    return c.json({ size: await sizeOf(workPath(uploads(id), c.req.param('path'))) })
  })
  app.put(`${root}/output/:path{.+}`, async (c) => {
    const { id } = await jobOf(c)
    const path = workPath(uploads(id), c.req.param('path'))
    return append(c, path, await readBody(c, MAX_PIECE), MAX_OUTPUT)
  })
  app.post(`${root}/output`, async (c) => {
    const { id } = await jobOf(c)
    const { files } = validate(manifest, await readJson(c, MAX_MANIFEST))
    const total = files.reduce((sum, file) => sum + file.size, 0)
    if (total > MAX_OUTPUT) throw errors.UPLOAD_TOO_LARGE({ limit: MAX_OUTPUT })
    const missing = await locked(id, () => takeOutput(join(dir, id), files))
    return c.json({ missing }, missing.length > 0 ? 409 : 200)
  })
  return app
}

const offsetQuery = z.object({ offset: z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER) })

/** Appends at the offset that the request names; 409 with the true size when the file is not as long. */
async function append(c: Context, path: string, body: Uint8Array, limit: number): Promise<Response> {
  const { offset } = validate(offsetQuery, { offset: c.req.query('offset') }, 'query')
  if (offset + body.length > limit) throw errors.UPLOAD_TOO_LARGE({ limit })
  const { taken, size } = await locked(path, () => appendTo(path, offset, body))
  return c.json({ size }, taken ? 200 : 409)
}

function streamOf(c: Context): string {
  const name = c.req.param('name') ?? ''
  if (!STREAMS.includes(name)) throw errors.WORK_FILE_MISSING({ path: name })
  return name
}

/** Whether a work folder has what a pod needs to begin. */
export function isPrepared(workdir: string): Promise<boolean> {
  return stat(join(workdir, 'job.json')).then(
    () => true,
    () => false,
  )
}
