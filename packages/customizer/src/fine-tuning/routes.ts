// SPDX-License-Identifier: Apache-2.0
import { ApiError, invalid } from '@open-nemo/contract'
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import {
  fineTuningCheckpoints,
  fineTuningCreate,
  fineTuningEvents,
  fineTuningJob,
  fineTuningJobs,
} from '@open-nemo/contract/customization/fine-tuning.ts'
import { errorResponse, route } from '@open-nemo/runtime'
import { cancelJob, type JobRoutes } from '../jobs/routes.ts'
import type { CustomizationJob } from '../jobs/types.ts'
import { createFineTuning } from './create.ts'
import { eventsOf, fromJobId, presentFineTuning, toJobId } from './present.ts'

const PATH = '/v1/fine_tuning/jobs'
const DEFAULT_PAGE = 20
const MAX_PAGE = 100

/** OpenAI's fine-tuning API over the customization jobs. */
export function registerFineTuning({ app, ctx, runner }: JobRoutes): void {
  const { jobs } = ctx
  // Errors have the shape that OpenAI's clients read.
  app.use(`${PATH}/*`, async (c, next) => {
    await next()
    if (c.error) c.res = errorResponse(c.error, 'openai', c.get('requestId')).response
  })
  const find = async (given: string | undefined): Promise<CustomizationJob> => {
    const id = given ?? ''
    const job = /^ftjob-\w{1,64}$/.test(id) ? await jobs.get(toJobId(id)) : undefined
    if (!job) throw errors.FINE_TUNING_JOB_NOT_FOUND({ id: id.slice(0, 100) })
    return job
  }
  route(
    app,
    {
      method: 'POST',
      path: PATH,
      id: 'create_fine_tuning_job',
      summary: 'Tune a model on an uploaded file',
      body: fineTuningCreate,
      response: fineTuningJob,
    },
    async ({ body, c }) => {
      const wandbKey = c.req.header('wandb-api-key')
      const job = await createFineTuning(ctx, body, wandbKey ? { wandbKey } : {})
      runner.wake()
      return presentFineTuning(job)
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: PATH,
      id: 'list_fine_tuning_jobs',
      summary: 'List jobs, newest first',
      response: fineTuningJobs,
    },
    async ({ query }) => {
      const limit = limitOf(query)
      const after = query.get('after')
      const wanted = metadataOf(query)
      const last = after ? await find(after) : undefined
      const found = await jobs.select(
        `($1::text IS NULL OR (created_at, id) < ($1::text, $2::text)) AND ($3::text IS NULL OR payload->'fine_tuning'->'metadata' @> $3::jsonb)`,
        [last?.createdAt ?? null, last?.id ?? null, wanted] as string[],
        `ORDER BY created_at DESC, id DESC LIMIT ${limit + 1}`,
      )
      return {
        object: 'list' as const,
        data: found.slice(0, limit).map(presentFineTuning),
        has_more: found.length > limit,
      }
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id`,
      id: 'get_fine_tuning_job',
      summary: 'Get a job',
      response: fineTuningJob,
    },
    async ({ params }) => presentFineTuning(await find(params.id)),
  )
  route(
    app,
    {
      method: 'POST',
      path: `${PATH}/:id/cancel`,
      id: 'cancel_fine_tuning_job',
      summary: 'Cancel a job',
      response: fineTuningJob,
    },
    async ({ params }) => {
      const { id } = await find(params.id)
      const job = await cancelJob(jobs, id).catch(async (err) => {
        if (!(err instanceof ApiError) || err.code !== 'JOB_NOT_ACTIVE') throw err
        // in the names of this API
        const { status } = presentFineTuning(await find(params.id))
        throw errors.FINE_TUNING_JOB_ENDED({ id: fromJobId(id), status })
      })
      runner.cancel(id)
      return presentFineTuning(job)
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/events`,
      id: 'list_fine_tuning_events',
      summary: 'What happened to a job, newest first',
      response: fineTuningEvents,
    },
    async ({ params, query }) => {
      const all = eventsOf(await find(params.id))
      const after = query.get('after')
      const start = after ? all.findIndex((event) => event.id === after) + 1 : 0
      const limit = limitOf(query)
      return {
        object: 'list' as const,
        data: all.slice(start, start + limit),
        has_more: all.length > start + limit,
      }
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id/checkpoints`,
      id: 'list_fine_tuning_checkpoints',
      summary: 'The model of a finished job: checkpoints before it are not kept as models',
      response: fineTuningCheckpoints,
    },
    async ({ params }) => {
      const job = await find(params.id)
      const shown = presentFineTuning(job)
      const data = shown.fine_tuned_model ? [checkpointOf(job, shown.fine_tuned_model)] : []
      const id = data[0]?.id ?? null
      return { object: 'list' as const, data, has_more: false, first_id: id, last_id: id }
    },
  )
}

function checkpointOf(job: CustomizationJob, model: string) {
  const { state } = job
  return {
    id: `ftckpt-${job.id.slice('cust-'.length)}`,
    object: 'fine_tuning.job.checkpoint',
    created_at: presentFineTuning(job).finished_at,
    fine_tuned_model_checkpoint: model,
    fine_tuning_job_id: fromJobId(job.id),
    step_number: state.steps_completed,
    metrics: { step: state.steps_completed, train_loss: state.train_loss, valid_loss: state.val_loss },
  }
}

function limitOf(query: URLSearchParams): number {
  const text = query.get('limit')
  if (text === null) return DEFAULT_PAGE
  const limit = Number(text)
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_PAGE) return limit
  throw invalid(['query', 'limit'], `must be a whole number from 1 to ${MAX_PAGE}`)
}

/** `metadata[key]=value` pairs as JSON, or null when there is none. */
function metadataOf(query: URLSearchParams): string | null {
  const pairs = [...query].flatMap(([name, value]) => {
    const key = /^metadata\[(.{1,64})\]$/.exec(name)?.[1]
    return key === undefined ? [] : [[key, value.replaceAll('\0', '\ufffd')] as const]
  })
  return pairs.length > 0 ? JSON.stringify(Object.fromEntries(pairs)) : null
}
