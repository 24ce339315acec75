// SPDX-License-Identifier: Apache-2.0
import { createExactIndex } from './exact.ts'
import type { VectorIndex } from './types.ts'

/**
 * Opens a new, empty index: in memory, or in Milvus when NEMO_VECTOR_STORE says so. `name` tells collections of
 * different runs apart. Rejects when the store cannot be reached.
 */
export async function openIndex(env: Record<string, string | undefined>, name: string): Promise<VectorIndex> {
  const store = env.NEMO_VECTOR_STORE ?? (env.MILVUS_URL ? 'milvus' : 'exact')
  if (store === 'exact') return createExactIndex()
  if (store === 'milvus' && env.MILVUS_URL) {
    const { openMilvusIndex } = await import('./milvus.ts')
    return openMilvusIndex(env.MILVUS_URL, name)
  }
  throw new Error(`NEMO_VECTOR_STORE is ${store}: use exact, or milvus with MILVUS_URL`)
}
