// SPDX-License-Identifier: Apache-2.0
import type { ValidationItem } from '@open-nemo/contract'
import type { z } from 'zod'

type Issue = z.core.$ZodIssue

const MOST = 20
const PLAIN = 'Invalid input'

/** What is wrong with a value, as the items of a 422; `loc` starts with `root`. */
export function itemsOf(issues: readonly Issue[], value: unknown, root: string): ValidationItem[] {
  return issues
    .flatMap((issue) => plainIssues(issue))
    .slice(0, MOST)
    .map((issue) => {
      const missing = isMissing(issue, value)
      return {
        loc: [root, ...issue.path.map((p) => (typeof p === 'number' ? p : String(p)))],
        msg: missing ? 'Field required' : issue.message,
        type: missing ? 'missing' : issue.code,
      }
    })
}

/** Of a value that may have several shapes, what is wrong with it in the shape it comes nearest to. */
function plainIssues(issue: Issue): Issue[] {
  if (issue.code !== 'invalid_union' || issue.message !== PLAIN || issue.errors.length === 0) return [issue]
  const shapes = issue.errors.map((shape) => shape.flatMap((inner) => plainIssues(inner)))
  const [nearest] = shapes
    .filter((shape) => shape.every((inner) => inner.path.length > 0))
    .sort((a, b) => a.length - b.length)
  if (nearest) return nearest.map((inner) => ({ ...inner, path: [...issue.path, ...inner.path] }))
  const reasons = shapes.flatMap((shape) => shape.map(({ message }) => message.replace(`${PLAIN}: `, '')))
  return [{ ...issue, message: `${PLAIN}: ${[...new Set(reasons)].join('; or ')}` }]
}

function isMissing(issue: Issue, value: unknown): boolean {
  const isShape = issue.code === 'invalid_type' || issue.code === 'invalid_union'
  if (!isShape || issue.path.length === 0) return false
  let at: unknown = value
  for (const key of issue.path) {
    if (typeof at !== 'object' || at === null) return false
    at = (at as Record<PropertyKey, unknown>)[key]
  }
  return at === undefined
}
