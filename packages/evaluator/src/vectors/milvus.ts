// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from 'node:crypto'
import { ConsistencyLevelEnum, DataType, MilvusClient } from '@zilliz/milvus2-sdk-node'
import type { Entry, Found, VectorIndex } from './types.ts'

const CONNECT_MS = 10_000
const CALL_MS = 60_000
const ID_BYTES = 1024
const SUCCESS = 'Success'

/**
 * Opens an empty collection of its own in Milvus; it is dropped when the index is closed. `address` is host:port or a URL.
 * Rejects when Milvus does not answer within 10 s.
 */
export async function openMilvusIndex(address: string, name: string): Promise<VectorIndex> {
  const client = new MilvusClient({
    address: address.replace(/^https?:\/\//, '').replace(/\/+$/, ''),
    timeout: CALL_MS,
  })
  await within(client.connectPromise, `Milvus does not answer at ${address}`)
  const collection = `nemo_${name.replaceAll(/\W/g, '_').slice(0, 150)}_${randomUUID().slice(0, 8)}`
  let isMade = false
  let isLoaded = false
  return {
    async add(entries: readonly Entry[]) {
      const dimensions = entries[0]?.vector.length
      if (dimensions === undefined) return
      if (!isMade) {
        await make(client, collection, dimensions)
        isMade = true
      }
      const data = entries.map(({ id, vector }) => ({ id, vector: [...vector] }))
      const { status } = await client.insert({ collection_name: collection, data })
      check(status)
      isLoaded = false
    },
    async search(vector, k) {
      if (!isMade) return []
      if (!isLoaded) {
        check(await client.flushSync({ collection_names: [collection] }).then((answer) => answer.status))
        check(await client.loadCollectionSync({ collection_name: collection }))
        isLoaded = true
      }
      const { status, results } = await client.search({
        collection_name: collection,
        data: [...vector],
        limit: k,
        // Passages just added must be found.
        consistency_level: ConsistencyLevelEnum.Strong,
      })
      check(status)
      return results.map((one): Found => ({ id: String(one.id), score: one.score }))
    },
    async close() {
      if (isMade) await client.dropCollection({ collection_name: collection })
      await client.closeConnection()
    },
  }
}

async function make(client: MilvusClient, collection: string, dimensions: number): Promise<void> {
  const created = await client.createCollection({
    collection_name: collection,
    fields: [
      { name: 'id', data_type: DataType.VarChar, is_primary_key: true, max_length: ID_BYTES },
      { name: 'vector', data_type: DataType.FloatVector, dim: dimensions },
    ],
  })
  check(created)
  // FLAT is exact: an evaluation should not measure the index.
  check(
    await client.createIndex({
      collection_name: collection,
      field_name: 'vector',
      index_type: 'FLAT',
      metric_type: 'COSINE',
      params: {},
    }),
  )
}

function check(status: { error_code?: unknown; code?: unknown; reason?: string }): void {
  if (status.error_code !== SUCCESS && status.code !== 0)
    throw new Error(`Milvus: ${status.reason || status.error_code}`)
}

async function within(work: Promise<unknown>, message: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), CONNECT_MS)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
