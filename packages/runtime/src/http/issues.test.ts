// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ValidationError } from '@open-nemo/contract'
import { z } from 'zod'
import { validate } from './route.ts'

const target = z.looseObject({ type: z.enum(['model', 'rows']), rows: z.array(z.string()).optional() })
const schema = z.object({
  target: z.union([z.string().min(1), target]),
  own: z.union([z.boolean(), z.array(z.string())], { error: 'say true, or name them' }).optional(),
})

function items(value: unknown) {
  try {
    validate(schema, value)
  } catch (err) {
    return (err as ValidationError).items.map(({ loc, msg, type }) => `${loc.join('.')}: ${msg} (${type})`)
  }
  return []
}

test('a value of several shapes is told what its own shape lacks', () => {
  assert.deepEqual(items({ target: { name: 'x' } }), [
    'body.target.type: Invalid option: expected one of "model"|"rows" (invalid_value)',
  ])
  assert.deepEqual(items({ target: { type: 'rows', rows: ['a', 1] } }), [
    'body.target.rows.1: Invalid input: expected string, received number (invalid_type)',
  ])
  assert.deepEqual(items({ target: 7 }), [
    'body.target: Invalid input: expected string, received number; or expected object, received number (invalid_union)',
  ])
  assert.deepEqual(items({ target: 'x', own: 7 }), ['body.own: say true, or name them (invalid_union)'])
})

test('what is missing is called that', () => {
  assert.deepEqual(items({}), ['body.target: Field required (missing)'])
})
