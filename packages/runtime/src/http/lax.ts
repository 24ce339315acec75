// SPDX-License-Identifier: Apache-2.0
import type { z } from 'zod'

type Issue = z.core.$ZodIssue
type Path = PropertyKey[]

const NUMBER = /^\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*$/i
const YES = ['true', 't', 'yes', 'y', 'on', '1']
const NO = ['false', 'f', 'no', 'n', 'off', '0']

/**
 * The value with numbers and booleans where text stands in their place: clients written in Python send `"True"` from
 * a form, `"2"` from an environment variable and `"1e-4"` from YAML, and the services of this API take them. Gives
 * undefined when no issue is about that.
 */
export function readAsMeant(value: unknown, issues: readonly Issue[]): unknown {
  const changes = issues.flatMap((issue) => changesOf(value, issue, []))
  if (changes.length === 0) return undefined
  let copy: unknown = structuredClone(value)
  for (const { path, meant } of changes) {
    const key = path.at(-1)
    const holder = at(copy, path.slice(0, -1))
    if (key === undefined) copy = meant
    else if (isTree(holder) && Object.hasOwn(holder, key)) holder[key] = meant
  }
  return copy
}

function changesOf(value: unknown, issue: Issue, root: Path): { path: Path; meant: unknown }[] {
  const path = [...root, ...issue.path]
  if (issue.code === 'invalid_union') {
    return issue.errors.flatMap((branch) => branch.flatMap((inner) => changesOf(value, inner, path)))
  }
  if (issue.code !== 'invalid_type') return []
  const meant = readAs(issue.expected, at(value, path))
  return meant === undefined ? [] : [{ path, meant }]
}

function readAs(expected: string, given: unknown): unknown {
  if (expected === 'boolean') return toBoolean(given)
  const isNumber = expected === 'number' || expected === 'int'
  return isNumber && typeof given === 'string' && NUMBER.test(given) ? Number(given) : undefined
}

function toBoolean(given: unknown): boolean | undefined {
  if (typeof given !== 'string' && typeof given !== 'number') return undefined
  const word = String(given).toLowerCase()
  if (YES.includes(word)) return true
  return NO.includes(word) ? false : undefined
}

function at(value: unknown, path: Path): unknown {
  let here = value
  for (const key of path) {
    if (!isTree(here) || !Object.hasOwn(here, key)) return undefined
    here = here[key]
  }
  return here
}

const isTree = (value: unknown): value is Record<PropertyKey, unknown> =>
  typeof value === 'object' && value !== null
