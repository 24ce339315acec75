// SPDX-License-Identifier: Apache-2.0
import { nowSeconds } from '@open-nemo/contract'
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'
import { dataStoreNamespace } from '@open-nemo/contract/data-store/schemas.ts'
import { route } from '@open-nemo/runtime'
import { z } from 'zod'
import { checkNamespace } from '../storage/paths.ts'
import { formOrJson, type Hub, param } from './request.ts'

const BASE = '/v1/datastore/namespaces'

/** The namespaces API, with the status codes that its clients expect: reading one answers 201. */
export function namespaceRoutes({ app, store }: Hub): void {
  const { rows } = store
  route(
    app,
    {
      method: 'POST',
      path: BASE,
      id: 'createNamespace',
      summary: 'Create a namespace; the body is a form or JSON with the field namespace',
      status: 201,
      response: dataStoreNamespace,
    },
    async ({ c }) => {
      const { namespace } = await formOrJson(c)
      const name = checkNamespace(namespace)
      const created = await rows.addNamespace(name)
      if (!created) throw dataStoreErrors.NAMESPACE_TAKEN({ namespace: name })
      return created
    },
  )
  route(
    app,
    {
      method: 'GET',
      path: BASE,
      id: 'listNamespaces',
      summary: 'List namespaces',
      response: z.object({ object: z.literal('list'), data: z.array(dataStoreNamespace) }),
    },
    async () => ({ object: 'list', data: await rows.namespaces() }),
  )
  route(
    app,
    {
      method: 'GET',
      path: `${BASE}/:namespace`,
      id: 'getNamespace',
      summary: 'Read a namespace',
      status: 201,
      response: dataStoreNamespace,
    },
    async (input) => {
      const namespace = param(input, 'namespace')
      const found = await rows.namespace(namespace)
      if (!found) throw dataStoreErrors.NAMESPACE_NOT_FOUND({ namespace })
      return found
    },
  )
  route(
    app,
    {
      method: 'DELETE',
      path: `${BASE}/:namespace`,
      id: 'deleteNamespace',
      summary: 'Delete an empty namespace',
      response: z.object({ namespace: z.string(), deleted_at: z.string(), message: z.string() }),
    },
    async (input) => {
      const namespace = param(input, 'namespace')
      const count = await rows.removeNamespace(namespace)
      if (count === undefined) throw dataStoreErrors.NAMESPACE_NOT_FOUND({ namespace })
      if (count > 0) throw dataStoreErrors.NAMESPACE_NOT_EMPTY({ namespace, count })
      return { namespace, deleted_at: nowSeconds(), message: 'Resource deleted successfully.' }
    },
  )
}
