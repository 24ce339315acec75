// SPDX-License-Identifier: Apache-2.0
import { collected } from '@open-nemo/contract/data-store/schemas.ts'
import { route } from '@open-nemo/runtime'
import type { FileRows } from '../storage/file-rows.ts'
import { removeExpired } from './file-expiry.ts'
import type { Hub } from './request.ts'

/** The collection of garbage, at once instead of at its time; it never takes anything that may still be wanted. */
export function collectRoutes({ app, store }: Hub, files: FileRows): void {
  route(
    app,
    {
      method: 'POST',
      path: '/v1/datastore/collect',
      id: 'collect_garbage',
      summary: 'Remove what no branch, tag or pull request reaches and nobody has touched for a while',
      response: collected,
    },
    async () => {
      await removeExpired(store, files)
      return store.collect()
    },
  )
}
