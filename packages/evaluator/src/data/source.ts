// SPDX-License-Identifier: Apache-2.0
import { UpstreamError } from '@open-nemo/contract'
import { createHubClient, type DataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import { isDataStoreUrl, parseFilesUrl, type RepoRef } from '@open-nemo/contract/data-store/refs.ts'
import type { TreeEntry } from '@open-nemo/contract/data-store/schemas.ts'
import type { EntityStoreClient } from '@open-nemo/contract/entity-store/client.ts'
import { evaluationErrors as errors } from '@open-nemo/contract/evaluation/errors.ts'
import type { EvaluationDataset } from '@open-nemo/contract/evaluation/schemas.ts'

export interface DataContext {
  entities: EntityStoreClient
  fetch: typeof globalThis.fetch
  dataStoreUrl: string
}

/** Where a dataset's files are, in the Data Store or on the hub that it names. */
export interface DataSource {
  label: string
  ref: RepoRef
  client: DataStoreClient
  limit: number | undefined
}

export interface DataFile {
  path: string
  size: number
}

/** Finds a dataset by its files_url, or by the `namespace/name` of its entity. Throws DATASET_NOT_FOUND or DATASET_UNREADABLE. */
export async function resolveSource(ctx: DataContext, dataset: EvaluationDataset): Promise<DataSource> {
  const given = typeof dataset === 'string' ? { files_url: dataset } : dataset
  const label = given.files_url
  if (isDataStoreUrl(label)) return sourceOf(ctx, label, given)
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(label)) {
    throw errors.DATASET_UNREADABLE({ name: label, reason: 'its URL is not one of hf:// or nds:' })
  }
  const slash = label.indexOf('/')
  const key =
    slash > 0
      ? { namespace: label.slice(0, slash), name: label.slice(slash + 1) }
      : { namespace: 'default', name: label }
  const entity = await findEntity(ctx, key)
  if (!entity) throw errors.DATASET_NOT_FOUND({ name: label })
  return sourceOf(ctx, entity.files_url, {
    hf_endpoint: given.hf_endpoint ?? entity.hf_endpoint,
    limit: given.limit ?? entity.limit,
  })
}

async function findEntity(ctx: DataContext, key: { namespace: string; name: string }) {
  try {
    return await ctx.entities.datasets.find(key.namespace, key.name)
  } catch (cause) {
    throw unavailable('entity-store', cause)
  }
}

function sourceOf(
  ctx: DataContext,
  url: string,
  more: { hf_endpoint?: string | null; limit?: number | null },
): DataSource {
  try {
    return {
      label: url,
      ref: parseFilesUrl(url),
      client: createHubClient({ ...ctx, endpoint: more.hf_endpoint }),
      limit: more.limit || undefined,
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw errors.DATASET_UNREADABLE({ name: url, reason }, { cause })
  }
}

/** The files of a source that `accept` takes, in the order of their paths. Throws DATASET_NOT_FOUND when it is not there. */
export async function listFiles(source: DataSource, accept: (path: string) => boolean): Promise<DataFile[]> {
  const { ref, client, label } = source
  let entries: TreeEntry[]
  try {
    entries = await client.listTree({
      type: ref.type,
      id: ref.id,
      recursive: true,
      ...(ref.revision ? { revision: ref.revision } : {}),
    })
  } catch (cause) {
    if (cause instanceof UpstreamError && cause.status >= 400 && cause.status < 500) {
      throw errors.DATASET_NOT_FOUND({ name: label }, { cause })
    }
    throw unavailable('data-store', cause)
  }
  const files = entries
    .filter((entry) => entry.type === 'file')
    .map((entry) => ({ path: entry.path, size: entry.lfs?.size ?? entry.size }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
  const exact = files.filter((file) => file.path === ref.path)
  if (exact.length > 0) return exact
  const prefix = ref.path ? `${ref.path}/` : ''
  const inside = files.filter((file) => file.path.startsWith(prefix))
  if (inside.length === 0 && ref.path) throw errors.DATASET_NOT_FOUND({ name: label })
  return inside.filter((file) => accept(file.path))
}

function unavailable(service: string, cause: unknown): Error {
  const reason = cause instanceof Error ? cause.message.slice(0, 300) : String(cause)
  return errors.DEPENDENCY_UNAVAILABLE({ service, reason }, { cause })
}
