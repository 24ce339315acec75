// SPDX-License-Identifier: Apache-2.0
import { invalid } from '@open-nemo/contract'

export interface OutputModel {
  namespace: string
  name: string
  version: string
  /** `namespace/name@version`, the model's name wherever it is used. */
  full: string
}

// What both the Entity Store and the Data Store take: the model is an entity and a repository.
const NAMESPACE = /^[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?$/
const NAME = /^[A-Za-z0-9_](?:[\w.+-]{0,94}[A-Za-z0-9_+])?$/
const VERSION = /^[A-Za-z0-9_](?:[\w.+-]{0,94}[A-Za-z0-9_+])?$/

/**
 * Takes `ns/name@version` or `name` apart; without a namespace it is `default`, without a version the job's id.
 * Throws a 422 that says which part cannot be used.
 */
export function parseOutputModel(text: string, jobId: string): OutputModel {
  const slash = text.indexOf('/')
  const namespace = slash < 0 ? 'default' : text.slice(0, slash)
  const rest = text.slice(slash + 1)
  const at = rest.indexOf('@')
  const name = at < 0 ? rest : rest.slice(0, at)
  const version = at < 0 ? jobId : rest.slice(at + 1)
  check('namespace', namespace, NAMESPACE)
  check('name', name, NAME)
  check('version', version, VERSION)
  return { namespace, name, version, full: `${namespace}/${name}@${version}` }
}

function check(part: string, value: string, pattern: RegExp): void {
  const isUsable = pattern.test(value) && !value.includes('..') && !/\.(git|lock)$/i.test(value)
  if (isUsable) return
  throw invalid(
    ['body', 'output_model'],
    `the ${part} "${value}" cannot be used: write namespace/name or namespace/name@version, each of letters, digits ` +
      'and -_.+, at most 96, beginning and ending with a letter or digit',
  )
}
