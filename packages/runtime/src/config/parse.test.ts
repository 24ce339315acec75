// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { ConfigError, parseConfig, redactConfig } from './parse.ts'

test('empty variables count as not set, and every bad one is named', () => {
  const schema = z.object({ PORT: z.coerce.number().int().default(8080), HOST: z.ipv4().optional() })
  assert.deepEqual(parseConfig(schema, { PORT: '', OTHER: 'x' }), { PORT: 8080 })
  assert.throws(
    () => parseConfig(schema, { PORT: 'x', HOST: 'y' }),
    (err) => err instanceof ConfigError && /PORT:.*\n.*HOST:/.test(err.message),
  )
})

test('secrets are masked, inside URLs too', () => {
  const shown = redactConfig({ NGC_API_KEY: 'k', DATABASE_URL: 'postgresql://u:p%40ss@h/db', PORT: 1 })
  assert.deepEqual(shown, { NGC_API_KEY: '******', DATABASE_URL: 'postgresql://u:******@h/db', PORT: 1 })
})
