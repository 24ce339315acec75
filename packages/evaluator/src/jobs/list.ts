// SPDX-License-Identifier: Apache-2.0
import type { ListQuery } from '@open-nemo/contract'
import { type Fields, whereOf } from '../entities/where.ts'
import type { Job, JobKind, JobTable } from './types.ts'

const nested = (part: 'target' | 'config'): Fields => ({
  '': [
    `concat_ws('/', payload#>>'{${part},namespace}', payload#>>'{${part},name}')`,
    `payload#>>'{${part},name}'`,
  ],
  id: [`payload#>>'{${part},id}'`],
  name: [`payload#>>'{${part},name}'`],
  namespace: [`payload#>>'{${part},namespace}'`],
  project: [`payload#>>'{${part},project}'`],
  type: [`payload#>>'{${part},type}'`],
})
const MODEL = [
  `(CASE jsonb_typeof(payload#>'{target,model}') WHEN 'string' THEN payload#>>'{target,model}' END)`,
  `payload#>>'{target,model,name}'`,
  `payload#>>'{target,model,api_endpoint,model_id}'`,
]
const STATUS_V2 = `(CASE status WHEN 'running' THEN 'active' WHEN 'failed' THEN 'error' ELSE status END)`

const FIELDS: Record<JobKind, Fields> = {
  v1: {
    id: ['id'],
    namespace: [`payload->>'namespace'`],
    project: [`payload#>>'{kept,project}'`],
    status: ['status'],
    config: nested('config'),
    target: { ...nested('target'), model: MODEL },
  },
  v2: {
    id: ['id'],
    name: [`coalesce(payload->>'name', id)`],
    namespace: [`payload->>'namespace'`],
    project: [`payload#>>'{kept,project}'`],
    status: [STATUS_V2],
  },
}
export const SORTABLE = ['created_at', 'updated_at', 'status']

/** One page of the jobs of an API, and how many match in all. */
export async function listJobs(
  jobs: JobTable,
  kind: JobKind,
  query: ListQuery,
  search: URLSearchParams,
): Promise<{ data: Job[]; total: number }> {
  const { sql, params } = whereOf(
    { filter: query.filter, params: search },
    {
      fields: FIELDS[kind],
      doc: `(payload || (payload->'kept'))`,
      customFields: `payload#>'{kept,custom_fields}'`,
      columns: {
        id: 'id',
        status: kind === 'v1' ? 'status' : STATUS_V2,
        name: `coalesce(payload->>'name', id)`,
        result: `state->>'result'`,
        config: `payload->>'config'`,
        target: `payload->>'target'`,
      },
    },
  )
  const where = `kind = '${kind}' AND ${sql}`
  const direction = query.sort.desc ? 'DESC' : 'ASC'
  const offset = (query.page - 1) * query.pageSize
  const tail = `ORDER BY ${query.sort.field} ${direction}, id ${direction} LIMIT ${query.pageSize} OFFSET ${offset}`
  return { data: await jobs.select(where, params, tail), total: await jobs.count(where, params) }
}
