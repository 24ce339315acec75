// SPDX-License-Identifier: Apache-2.0
import type { Database } from '@open-nemo/runtime'
import { createExactIndex } from './exact.ts'
import { openPgvectorIndex } from './pgvector.ts'
import type { VectorIndex } from './types.ts'

/**
 * Opens a new, empty index: in memory, in PostgreSQL by pgvector, or in Milvus, as NEMO_VECTOR_STORE says; Milvus when only
 * MILVUS_URL is set. `name` tells collections of different runs apart. Rejects when the store cannot be reached.
 */
export async function openIndex(
  { env, db }: { env: Record<string, string | undefined>; db: Database },
  name: string,
): Promise<VectorIndex> {
  const store = env.NEMO_VECTOR_STORE ?? (env.MILVUS_URL ? 'milvus' : 'exact')
  if (store === 'exact') return createExactIndex()
  if (store === 'pgvector') return openPgvectorIndex(db)
  if (store === 'milvus' && env.MILVUS_URL) {
    // Its client is large, and few need it.
    const { openMilvusIndex } = await import('./milvus.ts')
    return openMilvusIndex(env.MILVUS_URL, name)
  }
  throw new Error(`NEMO_VECTOR_STORE is ${store}: use exact, pgvector, or milvus with MILVUS_URL`)
}
