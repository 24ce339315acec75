// SPDX-License-Identifier: Apache-2.0
import { UpstreamError } from '@open-nemo/contract'
import type { DataStoreClient } from '@open-nemo/contract/data-store/client.ts'
import { isDataStoreUrl, parseFilesUrl } from '@open-nemo/contract/data-store/refs.ts'
import { guardrailsErrors as errors } from '@open-nemo/contract/guardrails/errors.ts'
import type { ConfigFiles } from '../config/files.ts'
import { failureText } from '../models/errors.ts'

const MAX_FILE = 4 * 1024 * 1024
const MAX_FILES = 500
const READ = /\.(ya?ml|co|md|txt|py)$/

/** The commit that a files_url names now, to know whether what was read of it is still right. */
export async function remoteRevision(store: DataStoreClient, url: string): Promise<string> {
  const ref = parseFilesUrl(url)
  return reading(url, () => store.resolveRevision({ type: ref.type, id: ref.id, ...revisionOf(ref) }))
}

/** The files of a configuration in the Data Store. Throws FILES_UNREACHABLE. */
export async function readRemote(store: DataStoreClient, url: string): Promise<ConfigFiles> {
  if (!isDataStoreUrl(url))
    throw errors.FILES_UNREACHABLE({ url, reason: 'it is no hf:// URL of the Data Store' })
  const ref = parseFilesUrl(url)
  const target = { type: ref.type, id: ref.id, ...revisionOf(ref) }
  return reading(url, () => readTree(store, target, ref.path))
}

type Target = Parameters<DataStoreClient['listTree']>[0]

async function readTree(store: DataStoreClient, target: Target, path: string): Promise<ConfigFiles> {
  const isFile = READ.test(path)
  const entries = isFile
    ? [{ type: 'file', path, size: 0 }]
    : await store.listTree({ ...target, ...(path ? { path } : {}), recursive: true })
  const wanted = entries.filter((e) => e.type === 'file' && READ.test(e.path))
  if (wanted.length === 0) throw new Error('there is no config.yml')
  if (wanted.length > MAX_FILES) throw new Error(`more than ${MAX_FILES} files`)
  const tooLarge = wanted.find((e) => (e.size ?? 0) > MAX_FILE)
  if (tooLarge) throw new Error(`${tooLarge.path} is larger than ${MAX_FILE} bytes`)
  const prefix = isFile || path === '' ? 0 : path.length + 1
  const files: ConfigFiles = {}
  for (const entry of wanted)
    files[entry.path.slice(prefix)] = await store.readText({ ...target, path: entry.path })
  return files
}

const revisionOf = (ref: { revision: string | undefined }) => (ref.revision ? { revision: ref.revision } : {})

async function reading<T>(url: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof UpstreamError && cause.status === 404)
      throw errors.FILES_UNREACHABLE({ url, reason: 'there is no such repository or path' }, { cause })
    throw errors.FILES_UNREACHABLE({ url, reason: failureText(cause) }, { cause })
  }
}
