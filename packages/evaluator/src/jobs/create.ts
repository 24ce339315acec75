// SPDX-License-Identifier: Apache-2.0
import { newId, nowMicros } from '@open-nemo/contract'
import type { JobCreate } from '@open-nemo/contract/evaluation/schemas.ts'
import type { JobCreateV2 } from '@open-nemo/contract/evaluation/v2.ts'
import { type Database, traceOfNow } from '@open-nemo/runtime'
import { takeSecrets } from '../entities/secrets.ts'
import { kindOf } from '../kinds/registry.ts'
import type { CheckContext, EvaluationKind } from '../kinds/types.ts'
import { requestOf, resolveSpec } from './spec.ts'
import { initialState, type Job, type JobKind, type JobPayload, type JobTable } from './types.ts'

export interface CreateContext {
  db: Database
  jobs: JobTable
  check: CheckContext
  kinds: readonly EvaluationKind[]
}

/** Checks all that can be checked at once and stores a v1 job. What could not run is refused here, with the reason. */
export async function createJob(ctx: CreateContext, body: JobCreate): Promise<Job> {
  return await store(ctx, 'v1', { given: body, body, name: null, spec: null })
}

/** The same for a v2 job, whose document keeps the spec as it was sent. */
export async function createJobV2(ctx: CreateContext, body: JobCreateV2): Promise<Job> {
  const spec = structuredClone(body.spec) as Record<string, unknown>
  takeSecrets(spec)
  const kept = { target: spec.target, config: spec.config }
  return await store(ctx, 'v2', { given: body.spec, body, name: body.name || null, spec: kept })
}

interface Order {
  given: { target: string | Record<string, unknown>; config: string | Record<string, unknown> }
  body: Record<string, unknown>
  name: string | null
  spec: JobPayload['spec']
}

async function store(ctx: CreateContext, kind: JobKind, order: Order): Promise<Job> {
  const { db, jobs } = ctx
  const { body } = order
  const kept = {
    description: (body.description as string | undefined) ?? null,
    project: (body.project as string | undefined) ?? null,
    custom_fields: (body.custom_fields as Record<string, unknown> | undefined) ?? {},
    ownership: body.ownership ?? null,
  }
  takeSecrets(structuredClone(kept))
  const spec = await resolveSpec(db, order.given)
  const request = requestOf(spec)
  await kindOf(request.config.type, ctx.kinds).check(request, ctx.check)
  const id = newId(kind === 'v1' ? 'eval' : 'platform-job')
  const payload: JobPayload = {
    namespace: String(body.namespace || 'default'),
    name: order.name,
    kept,
    target: spec.target,
    config: spec.config,
    spec: order.spec,
    output_files_url: (body.output_files_url as string | undefined) ?? null,
    ...traceOfNow(),
  }
  await db.query('INSERT INTO evaluator.job_secrets (job, secrets) VALUES ($1, $2::jsonb)', [
    id,
    JSON.stringify(spec.secrets),
  ])
  return await jobs.enqueue({
    id,
    kind,
    status: 'created',
    payload,
    state: initialState(),
    createdAt: nowMicros(),
  })
}
