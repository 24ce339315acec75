// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { errorCatalogue } from '@open-nemo/contract'

const contract = fileURLToPath(new URL('../../../contract/src/', import.meta.url))

/** The text of docs/errors.md: every code of the catalogue, by service, with its status, message and hint. */
export async function errorsDocument(): Promise<string> {
  for (const folder of readdirSync(contract)) {
    const file = `${contract}${folder}/errors.ts`
    if (existsSync(file)) await import(pathToFileURL(file).href)
  }
  const entries = errorCatalogue().filter((e) => !e.service.endsWith('-test'))
  const services = [...new Set(entries.map((e) => e.service))].sort()
  const lines = [
    '# Errors',
    '',
    'Made by `node tools/run.mjs tools/errors.ts` from `packages/contract/src/*/errors.ts`; do not edit.',
    '',
    'An error answers `{"detail": "<message>. <hint>", "code": "<CODE>"}`; a request that does not fit its schema',
    'answers 422 with `{"detail": [{"loc": [...], "msg": "...", "type": "..."}]}`. The Data Store adds `error` and the',
    "`X-Error-Code` header, inference adds OpenAI's `error` object. Words in braces are filled in.",
  ]
  for (const service of services) {
    lines.push('', `## ${service}`, '', '| code | status | message | what to do |', '|---|---|---|---|')
    const own = entries.filter((e) => e.service === service).sort((a, b) => a.code.localeCompare(b.code))
    for (const e of own) {
      lines.push(`| \`${e.code}\` | ${e.status} | ${cell(e.message)} | ${cell(e.hint)} |`)
    }
  }
  return `${lines.join('\n')}\n`
}

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
