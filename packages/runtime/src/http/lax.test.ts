// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ValidationError } from '@open-nemo/contract'
import { z } from 'zod'
import { validate } from './route.ts'

const schema = z.looseObject({
  epochs: z.int().min(1),
  rate: z.number().nullish(),
  flags: z.record(z.string(), z.boolean()).optional(),
  config: z.union([z.string(), z.looseObject({ parallel: z.boolean().nullish() })]).optional(),
})

test('text is read as the number or boolean that belongs there', () => {
  const given = {
    epochs: '2',
    rate: '1e-4',
    flags: { a: 'True', b: 'off', c: 0 },
    config: { parallel: 'False' },
    other: '3',
  }
  const before = structuredClone(given)
  assert.deepEqual(validate(schema, given), {
    epochs: 2,
    rate: 1e-4,
    flags: { a: true, b: false, c: false },
    config: { parallel: false },
    other: '3',
  })
  assert.deepEqual(given, before)
})

test('what is no number or boolean is refused as before', () => {
  const refused = (value: unknown, loc: string) =>
    assert.throws(
      () => validate(schema, value),
      (err: ValidationError) => err.items[0]?.loc.join('.') === loc,
    )
  refused({ epochs: '0x2' }, 'body.epochs')
  refused({ epochs: '' }, 'body.epochs')
  refused({ epochs: '2.5' }, 'body.epochs')
  refused({ epochs: '0' }, 'body.epochs')
  refused({ epochs: true }, 'body.epochs')
  refused({ epochs: 1, flags: { a: 'maybe' } }, 'body.flags.a')
  refused({ epochs: 1, config: { parallel: 2 } }, 'body.config.parallel')
})
