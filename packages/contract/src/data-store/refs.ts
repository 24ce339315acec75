// SPDX-License-Identifier: Apache-2.0
import { invalid } from '../errors.ts'

export type RepoType = 'model' | 'dataset'

/** Where files live in the data store: a repository, a revision (`main` when absent) and a path in it. */
export interface RepoRef {
  type: RepoType
  /** `namespace/name` */
  id: string
  revision: string | undefined
  /** File or folder inside the repository, without a slash at either end; '' is the whole of it. */
  path: string
}

const SCHEMES = ['hf://', 'nds:']

/** Whether `url` is written the way parseFilesUrl reads it. */
export function isDataStoreUrl(url: string): boolean {
  return SCHEMES.some((scheme) => url.startsWith(scheme))
}

/**
 * Takes a files_url apart: `hf://datasets/ns/name[@revision][/path]`, `hf://models/ns/name…`,
 * `hf://ns/name…` (a model) or the older `nds:ns/name` (a dataset). Throws a 422 for anything else.
 */
export function parseFilesUrl(url: string, field = 'files_url'): RepoRef {
  const scheme = SCHEMES.find((s) => url.startsWith(s))
  if (!scheme)
    throw invalid(['body', field], `"${url}" is not hf://datasets/<ns>/<name>, hf://<ns>/<name> or nds:…`)
  const parts = url
    .slice(scheme.length)
    .split('/')
    .filter((part) => part !== '')
  let type: RepoType = scheme === 'nds:' ? 'dataset' : 'model'
  if (scheme === 'hf://' && (parts[0] === 'datasets' || parts[0] === 'models')) {
    type = parts.shift() === 'datasets' ? 'dataset' : 'model'
  }
  const [namespace, nameAndRevision, ...path] = parts
  if (!namespace || !nameAndRevision)
    throw invalid(['body', field], `"${url}" lacks a namespace or a repository name`)
  const at = nameAndRevision.indexOf('@')
  const name = at < 0 ? nameAndRevision : nameAndRevision.slice(0, at)
  const revision = at < 0 ? '' : nameAndRevision.slice(at + 1)
  if (!name) throw invalid(['body', field], `"${url}" lacks a repository name`)
  if (path.some((part) => part === '..' || part === '.'))
    throw invalid(['body', field], `"${url}" must not contain . or ..`)
  return {
    type,
    id: `${namespace}/${name}`,
    revision: revision ? decodeRevision(revision) : undefined,
    path: path.join('/'),
  }
}

/** The inverse of parseFilesUrl: `hf://datasets/ns/name@rev/path`, models without a type word. */
export function formatFilesUrl(ref: Partial<RepoRef> & Pick<RepoRef, 'type' | 'id'>): string {
  const revision = ref.revision ? `@${encodeURIComponent(ref.revision)}` : ''
  const path = ref.path ? `/${ref.path}` : ''
  return `hf://${ref.type === 'dataset' ? 'datasets/' : ''}${ref.id}${revision}${path}`
}

/** `refs%2Fpr%2F1` is `refs/pr/1`; a stray % is kept, since it may be part of the name. */
function decodeRevision(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
