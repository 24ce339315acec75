// SPDX-License-Identifier: Apache-2.0
import { dataStoreErrors } from '@open-nemo/contract/data-store/errors.ts'

const MAX_PATH_BYTES = 2048
const MAX_PART_BYTES = 255

/** Characters that HFS+ ignores: `.g<U+200C>it` would be `.git` on a Mac. */
const IGNORABLE = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g

/**
 * Checks the path of a file or folder in a repository and returns it. Refuses (400, naming the path) what a
 * client could not write back safely: absolute paths, `.` and `..`, `.git`, empty parts, backslashes, control
 * characters, and parts that file systems cannot hold. A `./` in front, which some clients write, is left out.
 */
export function checkPath(given: unknown): string {
  const path = typeof given === 'string' ? given.replace(/^(\.\/)+/, '') : ''
  if (path === '') throw refuse(String(given ?? ''), 'it is empty')
  const reason = pathProblem(path)
  if (reason) throw refuse(path, reason)
  return path
}

/** Like checkPath for a folder: '' is the root, and slashes at the end are dropped. */
export function checkFolder(path: string): string {
  const trimmed = path.replace(/\/+$/, '')
  return trimmed === '' && !path.startsWith('/') ? '' : checkPath(trimmed)
}

function pathProblem(path: string): string | undefined {
  if (path.startsWith('/')) return 'it is absolute'
  if (path.endsWith('/')) return 'it ends with a slash'
  if (path.includes('\\')) return 'it holds a backslash'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(path)) return 'it holds a control character'
  if (!path.isWellFormed()) return 'it is not valid Unicode'
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `it is longer than ${MAX_PATH_BYTES} bytes`
  for (const part of path.split('/')) {
    const problem = partProblem(part)
    if (problem) return problem
  }
  return undefined
}

function partProblem(part: string): string | undefined {
  if (part === '') return 'it has an empty part'
  if (part === '.' || part === '..') return `it has the part "${part}"`
  if (Buffer.byteLength(part) > MAX_PART_BYTES) return `a part of it is longer than ${MAX_PART_BYTES} bytes`
  const plain = part
    .replace(IGNORABLE, '')
    .toLowerCase()
    .replace(/[. ]+$/, '')
  const stream = plain.split(':')[0]?.replace(/[. ]+$/, '')
  if (stream === '.git' || /^git~\d+$/.test(stream ?? '')) return `the name "${part}" is git's own`
  return undefined
}

function refuse(path: string, reason: string) {
  const shown = path.length > 200 ? `${path.slice(0, 200)}…` : path
  return dataStoreErrors.PATH_REFUSED({ path: JSON.stringify(shown.toWellFormed()), reason, field: 'path' })
}

/** Two names with equal folds are one file on file systems that ignore case or Unicode composition. */
export function fold(name: string): string {
  return name.normalize('NFC').toLowerCase()
}

const NAMESPACE = /^[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?$/
const REPO = /^[A-Za-z0-9_](?:[\w.+-]{0,94}[A-Za-z0-9_+])?$/

/** Words that the protocol's paths use in the place of a namespace. */
const RESERVED = new Set(['api', 'datasets', 'models', 'spaces', 'health', 'metrics', 'v1'])

/** Checks the name of a namespace: 1 to 96 of `A-Za-z0-9_.-`, no dot or dash at an end, no `..`. */
export function checkNamespace(name: unknown): string {
  const known = typeof name === 'string' && NAMESPACE.test(name) && !name.includes('..')
  if (known && !RESERVED.has(name.toLowerCase())) return name
  throw dataStoreErrors.NAME_REFUSED({ what: 'namespace', name: quote(name), field: 'namespace' })
}

/** Checks the name of a repository within its namespace, by the same rule; `.git` at the end is the transport's. */
export function checkRepoName(name: unknown): string {
  if (typeof name === 'string' && REPO.test(name) && !name.includes('..') && !/\.git$/i.test(name))
    return name
  throw dataStoreErrors.NAME_REFUSED({ what: 'repository name', name: quote(name), field: 'name' })
}

/** Checks the name of a branch or tag by git's rules (git check-ref-format), and against looking like an option. */
export function checkRefName(name: unknown): string {
  if (typeof name === 'string' && isRefName(name)) return name
  throw dataStoreErrors.REF_NAME_REFUSED({ name: quote(name), field: 'revision' })
}

/** Whether `name` may be part of a ref. */
export function isRefName(name: string): boolean {
  if (name === '' || Buffer.byteLength(name) > 200 || !name.isWellFormed() || name === '@') return false
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  if (/[\u0000-\u0020\u007f~^:?*[\\]|\.\.|@\{|\/\/|^[-/]|[./]$/.test(name)) return false
  return name.split('/').every((part) => !part.startsWith('.') && !part.endsWith('.lock'))
}

function quote(value: unknown): string {
  return JSON.stringify(typeof value === 'string' ? value.slice(0, 200).toWellFormed() : (value ?? null))
}
