// SPDX-License-Identifier: Apache-2.0
import { UpstreamError } from '@open-nemo/contract'
import { customizationErrors as errors } from '@open-nemo/contract/customization/errors.ts'
import type { JobDataset } from '@open-nemo/contract/customization/schemas.ts'
import { createHubClient, type DataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import { parseFilesUrl } from '@open-nemo/contract/data-store/refs.ts'
import type { TreeEntry } from '@open-nemo/contract/data-store/schemas.ts'
import type { EntityStoreClient } from '@open-nemo/contract/entity-store/client.ts'

/** Where a job's files are: a repository of a hub, the Data Store unless `hfEndpoint` names another. */
export interface DataSource {
  /** As the job answers it: `ns/name`, or the URL that was given. */
  label: string
  type: 'model' | 'dataset'
  id: string
  revision: string | null
  /** Folder or file inside the repository; '' is the whole of it. */
  path: string
  hfEndpoint: string | null
  /** Most rows to train on, or null for all. */
  limit: number | null
  /** A file of the same repository that validates, where it lies beside no training/ folder. */
  validationPath?: string
}

/** Files of a job, as paths in the repository. */
export interface DataFiles {
  training: DataFile[]
  validation: DataFile[]
}
export interface DataFile {
  path: string
  size: number
}

export interface SourceContext {
  entities: EntityStoreClient
  fetch: typeof globalThis.fetch
  dataStoreUrl: string
}

/**
 * Finds where a job's dataset lives: by its entity (`ns/name`), or by the files_url given.
 * A name without an entity is accepted when the Data Store has a repository of that name.
 * Throws DATASET_NOT_FOUND or DATASET_UNREADABLE.
 */
export async function resolveDataset(ctx: SourceContext, dataset: JobDataset): Promise<DataSource> {
  const given = typeof dataset === 'string' ? fromText(dataset) : dataset
  const namespace = given.namespace || 'default'
  const label = given.name ? `${namespace}/${given.name}` : (given.files_url ?? '')
  if (given.files_url) return sourceOf(label, given.files_url, given)
  if (!given.name) throw errors.DATASET_NOT_FOUND({ name: '(without name and files_url)', field: 'dataset' })
  const entity = await reach('entity-store', ctx.entities.datasets.find(namespace, given.name))
  const filesUrl = entity?.files_url ?? `hf://datasets/${label}`
  return sourceOf(label, filesUrl, {
    hf_endpoint: given.hf_endpoint ?? entity?.hf_endpoint,
    limit: given.limit ?? entity?.limit,
  })
}

function fromText(text: string): Exclude<JobDataset, string> {
  if (/^[a-z]+:/.test(text)) return { files_url: text }
  const slash = text.indexOf('/')
  return slash > 0 ? { namespace: text.slice(0, slash), name: text.slice(slash + 1) } : { name: text }
}

function sourceOf(
  label: string,
  filesUrl: string,
  more: { hf_endpoint?: string | null; limit?: number | null },
): DataSource {
  try {
    const { type, id, revision, path } = parseFilesUrl(filesUrl)
    const [hfEndpoint, limit] = [more.hf_endpoint ?? null, more.limit || null]
    return { label, type, id, revision: revision ?? null, path, hfEndpoint, limit }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw errors.DATASET_UNREADABLE({ name: label, where: filesUrl, reason, field: 'dataset' }, { cause })
  }
}

/** A client of the hub that holds the source. */
export const clientOf = (ctx: SourceContext, source: DataSource): DataStoreClient =>
  createHubClient({ ...ctx, endpoint: source.hfEndpoint })

/** The source's files by folder. Throws DATASET_NOT_FOUND, DATASET_UNREADABLE, or DATASET_EMPTY. */
export async function listFiles(ctx: SourceContext, source: DataSource): Promise<DataFiles> {
  const target = { type: source.type, id: source.id, recursive: true }
  const revision = source.revision ? { revision: source.revision } : {}
  let entries: TreeEntry[]
  try {
    entries = await clientOf(ctx, source).listTree({ ...target, ...revision })
  } catch (cause) {
    if (cause instanceof UpstreamError && cause.status >= 400 && cause.status < 500) {
      throw errors.DATASET_NOT_FOUND({ name: source.label, field: 'dataset' }, { cause })
    }
    if (!source.hfEndpoint) throw unavailable('data-store', cause)
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw errors.DATASET_UNREADABLE({ name: source.label, where: source.hfEndpoint, reason }, { cause })
  }
  const files = selectFiles(entries, source.path)
  if (source.validationPath !== undefined) {
    files.validation = selectFiles(entries, source.validationPath).training
  }
  if (files.training.length > 0) return files
  const folder = source.path ? `${source.path}/training/` : 'training/'
  throw errors.DATASET_EMPTY({ name: source.label, folder, field: 'dataset' })
}

/**
 * Which files train and which validate: those in training/ and validation/ of the source's folder. A source that is
 * itself one file, or a folder of files without training/, is training data alone.
 */
export function selectFiles(entries: TreeEntry[], path: string): DataFiles {
  const files = entries
    .filter((entry) => entry.type === 'file' && /\.jsonl?$/i.test(entry.path) && isPlain(entry.path))
    .map((entry) => ({ path: entry.path, size: entry.lfs?.size ?? entry.size }))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
  const single = files.filter((file) => file.path === path)
  if (single.length > 0) return { training: single, validation: [] }
  const under = (folder: string) => files.filter((file) => file.path.startsWith(folder))
  const base = path ? `${path}/` : ''
  const training = under(`${base}training/`)
  if (training.length > 0) return { training, validation: under(`${base}validation/`) }
  const direct = path ? under(base).filter((file) => !file.path.slice(base.length).includes('/')) : []
  return { training: direct, validation: [] }
}

/** A hub elsewhere could name paths that lead out of the folder we write to. */
function isPlain(path: string): boolean {
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0'))
}

/** Awaits an answer of another service; when it does not come, says which service and why. */
export async function reach<T>(service: string, answer: Promise<T>): Promise<T> {
  try {
    return await answer
  } catch (cause) {
    throw unavailable(service, cause)
  }
}

function unavailable(service: string, cause: unknown): Error {
  const reason = cause instanceof Error ? cause.message.slice(0, 300) : String(cause)
  return errors.DEPENDENCY_UNAVAILABLE({ service, reason }, { cause })
}
