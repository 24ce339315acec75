// SPDX-License-Identifier: Apache-2.0
import {
  deleteResponse,
  listEnvelope,
  listQuerySchema,
  nowMicros,
  pageSchema,
  parseListQuery,
} from '@open-nemo/contract'
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import { evaluationResult, resultCreate, resultUpdate } from '@open-nemo/contract/evaluation/results.ts'
import { type App, type Database, route } from '@open-nemo/runtime'
import { takeSecrets } from '../entities/secrets.ts'
import { whereOf } from '../entities/where.ts'
import { deleteResult, insertResult, listResults, newResult, readResult, updateResult } from './store.ts'

const PATH = '/v1/evaluation/results'
const FIELDS = {
  id: ['id'],
  job_id: ['job'],
  job: ['job'],
  namespace: [`doc->>'namespace'`],
  project: [`doc->>'project'`],
}

/** Registers the five operations on results. */
export function registerResults({ app, db }: { app: App; db: Database }): void {
  route(
    app,
    {
      method: 'POST',
      path: PATH,
      id: 'create_evaluation_result',
      summary: 'Create an evaluation result',
      body: resultCreate,
      response: evaluationResult,
    },
    async ({ body }) => {
      const doc = newResult(body)
      takeSecrets(doc)
      await insertResult(db, doc)
      return doc
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: PATH,
      id: 'list_evaluation_results',
      summary: 'List evaluation results',
      query: listQuerySchema,
      response: pageSchema(evaluationResult),
    },
    async (input) => {
      const query = parseListQuery(input.query, { sortable: ['created_at', 'updated_at'] })
      const { sql, params } = whereOf(
        { filter: query.filter, params: input.query },
        {
          fields: FIELDS,
          doc: 'doc',
          customFields: `doc->'custom_fields'`,
          columns: { id: 'id', job: 'job' },
        },
      )
      const direction = query.sort.desc ? 'DESC' : 'ASC'
      const { data, total } = await listResults(db, {
        where: sql,
        params,
        order: `${query.sort.field} ${direction}, id ${direction}`,
        limit: query.pageSize,
        offset: (query.page - 1) * query.pageSize,
      })
      return listEnvelope({ data, total, query })
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: `${PATH}/:id`,
      id: 'get_evaluation_result',
      summary: 'Get an evaluation result',
      response: evaluationResult,
    },
    async ({ params }) => {
      const doc = await readResult(db, params.id ?? '')
      if (!doc) throw errors.RESULT_NOT_FOUND({ id: params.id })
      return doc
    },
  )
  route(
    app,
    {
      method: 'PATCH',
      path: `${PATH}/:id`,
      id: 'update_evaluation_result',
      summary: 'Change an evaluation result; fields that are absent or null keep their value',
      body: resultUpdate,
      response: evaluationResult,
    },
    async ({ body, params }) => {
      takeSecrets(body)
      const doc = await updateResult(db, params.id ?? '', body)
      if (!doc) throw errors.RESULT_NOT_FOUND({ id: params.id })
      return doc
    },
  )
  route(
    app,
    {
      method: 'DELETE',
      path: `${PATH}/:id`,
      id: 'delete_evaluation_result',
      summary: 'Delete an evaluation result',
      response: deleteResponse,
    },
    async ({ params }) => {
      const id = params.id ?? ''
      if (!(await deleteResult(db, id))) throw errors.RESULT_NOT_FOUND({ id })
      return { id, deleted_at: nowMicros(), message: 'Resource deleted successfully.' }
    },
  )
}
