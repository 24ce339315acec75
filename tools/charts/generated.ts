// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import { between, readValues, valuesSchema, valuesTable } from './values.ts'

/** JSON as the linter wants it. */
function formatted(json: string): string {
  const biome = fileURLToPath(new URL('../../node_modules/.bin/biome', import.meta.url))
  return execFileSync(biome, ['format', '--stdin-file-path=values.schema.json'], {
    input: json,
    encoding: 'utf8',
  })
}

const MARK = 'tools/chart-values.ts'

/**
 * The files that are made from a chart's values.yaml, by path, with the text they must have: the table in README.md, and
 * values.schema.json where that one says it is made.
 */
export function generatedFiles(chart: string): Map<string, string> {
  const files = new Map<string, string>()
  const values = readValues(readFileSync(join(chart, 'values.yaml'), 'utf8'))
  const schema = join(chart, 'values.schema.json')
  if (!existsSync(schema) || readFileSync(schema, 'utf8').includes(MARK)) {
    const { dependencies = [] } = parse(readFileSync(join(chart, 'Chart.yaml'), 'utf8')) as {
      dependencies?: { name: string }[]
    }
    const names = dependencies.map((dependency) => dependency.name)
    files.set(schema, formatted(JSON.stringify(valuesSchema(values, names))))
  }
  const readme = join(chart, 'README.md')
  const page = existsSync(readme) ? readFileSync(readme, 'utf8') : ''
  const filled = between(page, 'values', valuesTable(values))
  if (filled !== undefined) files.set(readme, filled)
  return files
}
