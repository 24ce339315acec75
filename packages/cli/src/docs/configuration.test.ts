// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../../../', import.meta.url))
/** Set by the platform for its own children. */
const INTERNAL = ['NEMO_DETACHED']
/** Made from the service names in serve-one.ts. */
const MADE = /^NEMO_(ENTITY_STORE|DATA_STORE|CUSTOMIZER|INFERENCE|EVALUATOR|GUARDRAILS)_URL$/

function variablesInCode(): Set<string> {
  const found = new Set<string>()
  for (const file of globSync('packages/*/src/**/*.ts', { cwd: root })) {
    if (file.includes('.test.') || file.includes('/testing')) continue
    const text = readFileSync(join(root, file), 'utf8')
    // A key of a schema, a property of an environment, or a name handed to a reader of one.
    for (const [, name = ''] of text.matchAll(
      /(?:^\s+|\benv\.|env, ')((?:NEMO|NIM)_[A-Z_]+|LOG_LEVEL)\b/gm,
    )) {
      found.add(name)
    }
  }
  for (const name of INTERNAL) found.delete(name)
  return found
}

test('docs/configuration.md names exactly the variables that the code reads', () => {
  const page = readFileSync(join(root, 'docs/configuration.md'), 'utf8')
  const documented = new Set([...page.matchAll(/`((?:NEMO|NIM)_[A-Z_]+|LOG_LEVEL)`/g)].map((m) => m[1] ?? ''))
  const read = variablesInCode()
  assert.deepEqual(
    [...read].filter((name) => !documented.has(name)),
    [],
    'read by the code but not in docs/configuration.md',
  )
  assert.deepEqual(
    [...documented].filter((name) => !read.has(name) && !MADE.test(name)),
    [],
    'in docs/configuration.md but read by nothing',
  )
})
