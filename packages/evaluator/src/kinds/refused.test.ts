// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { REFUSED } from './refused.ts'
import { KINDS, kindOf } from './registry.ts'

const page = readFileSync(new URL('../../../../docs/evaluator.md', import.meta.url), 'utf8')

test('docs/evaluator.md lists every refused type with its reason, and every kind that runs', () => {
  for (const { types, reason } of REFUSED)
    assert.ok(page.includes(`| ${types} | ${reason} |`), `${types} | ${reason}`)
  for (const kind of KINDS) {
    for (const type of kind.types)
      assert.ok(page.includes(`\`${type}\``), `${type} is not in docs/evaluator.md`)
  }
})

test('a refused type names its reason', () => {
  const examples = [
    'humaneval',
    'bigcode',
    'bfclv3_ast_multiple',
    'simpleqa',
    'simple-evals',
    'aegis_v2',
    'wildguard',
    'prompt-optimization',
    'mtbench',
  ]
  for (const type of examples) {
    assert.throws(
      () => kindOf(type),
      (err: Error) => REFUSED.some((one) => err.message.includes(one.reason)),
      type,
    )
  }
})
