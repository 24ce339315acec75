// SPDX-License-Identifier: Apache-2.0
import { invalid, type ListQuery, type QueryObject } from '@open-nemo/contract'
import type { JobStore } from '@open-nemo/runtime/jobs/index.ts'
import { unknownFilter } from '../entities/filter.ts'
import { ACTIVE } from './progress.ts'
import type { CustomizationJob, JobPayload, JobState } from './types.ts'

export type JobTable = JobStore<JobPayload, JobState>

/** The SQL that reads each filter's value; all as text. */
const FIELDS: Record<string, string> = {
  id: 'id',
  name: `payload->>'name'`,
  namespace: `payload->>'namespace'`,
  status: 'status',
  project: `payload->'kept'->>'project'`,
  config: `payload->>'config'`,
  dataset: `payload->>'dataset'`,
  base_model: `payload->'config_snapshot'->>'base_model'`,
  output_model: `payload->>'output_model'`,
  batch_size: `payload->'hyperparameters'->>'batch_size'`,
  epochs: `payload->'hyperparameters'->>'epochs'`,
  log_every_n_steps: `payload->'hyperparameters'->>'log_every_n_steps'`,
  finetuning_type: `payload->'hyperparameters'->>'finetuning_type'`,
  training_type: `payload->'hyperparameters'->>'training_type'`,
  created_at: 'created_at',
  updated_at: 'updated_at',
}
const OPERATORS: Record<string, string> = {
  eq: '=',
  gt: '>',
  gte: '>=',
  start: '>=',
  lt: '<',
  lte: '<=',
  end: '<=',
}
export const SORTABLE = ['created_at', 'updated_at', 'status']

/** One page of jobs, and how many match in all. */
export async function listJobs(
  jobs: JobTable,
  query: ListQuery,
): Promise<{ data: CustomizationJob[]; total: number }> {
  const { sql, params } = whereOf(query.filter)
  const direction = query.sort.desc ? 'DESC' : 'ASC'
  const tail = `ORDER BY ${query.sort.field} ${direction}, id ${direction} LIMIT ${query.pageSize} OFFSET ${
    (query.page - 1) * query.pageSize
  }`
  return { data: await jobs.select(sql, params, tail), total: await jobs.count(sql, params) }
}

/** The condition of a filter. Throws a 422 for keys and operators that are not known. */
export function whereOf(filter: QueryObject): { sql: string; params: string[] } {
  const params: string[] = []
  const tests = Object.entries(filter).flatMap(([key, wanted]) => {
    const column = Object.hasOwn(FIELDS, key) ? FIELDS[key] : undefined
    if (!column) throw unknownFilter(key, Object.keys(FIELDS))
    const bounds = typeof wanted === 'string' ? { eq: wanted } : wanted
    return Object.entries(bounds).map(([name, value]) => {
      const operator = Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined
      if (!operator || typeof value !== 'string') {
        throw invalid(['query', `filter[${key}][${name}]`], 'use eq, gt, gte, lt or lte')
      }
      // No stored text has U+0000, and PostgreSQL refuses it.
      params.push(value.replaceAll('\0', '\ufffd').replace(/(?<=^\d{4}-.*)(Z|\+00:00)$/, ''))
      return datasetOr(key, `${column} ${operator} $${params.length}`, `$${params.length}`)
    })
  })
  return { sql: tests.length > 0 ? tests.join(' AND ') : 'true', params }
}

/** A dataset is found by its name and by its files_url. */
function datasetOr(key: string, test: string, parameter: string): string {
  if (key !== 'dataset') return test
  return `(${test} OR 'hf://datasets/' || (payload->'source'->>'id') = ${parameter})`
}

/** The id of a job that has not ended and uses the target `ns/name`. */
export async function activeJobOf(jobs: JobTable, target: string): Promise<string | undefined> {
  const sql = `payload->>'target' = $1 AND status = ANY($2::text[])`
  return (await jobs.select(sql, [target, ACTIVE], 'LIMIT 1'))[0]?.id
}
