// SPDX-License-Identifier: Apache-2.0
import { text } from './evaluate.ts'
import type { Value, Variables } from './expression.ts'

const HOLES = /\{\{\s*(?<jinja>[A-Za-z_]\w*(?:\.\w+)*)\s*\}\}|\$(?<plain>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)/g

/** A text of the bot with its variables, `$name`, `$user.name` and `{{ name }}`, filled in; unknown ones are empty. */
export function renderText(template: string, variables: Variables): string {
  return template.replace(HOLES, (...found) => {
    const groups: { jinja?: string; plain?: string } = found.at(-1)
    const value = lookUp(groups.jinja ?? groups.plain ?? '', variables)
    return value === undefined ? '' : text(value)
  })
}

function lookUp(path: string, variables: Variables): Value | undefined {
  let value: Value = variables
  for (const key of path.split('.')) {
    if (value === null || typeof value !== 'object' || Array.isArray(value) || !Object.hasOwn(value, key))
      return undefined
    value = value[key] ?? null
  }
  return value
}
