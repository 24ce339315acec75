// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../telemetry/log.ts'
import type { Queryable } from './types.ts'
import { waitForDatabase } from './wait.ts'

/** A database that says these codes, one a query, and then answers. */
function database(...codes: string[]): Queryable & { asked: number } {
  const db = {
    asked: 0,
    query: async () => {
      const code = codes[db.asked++]
      if (code) throw Object.assign(new Error(`it says ${code}`), { code })
      return []
    },
    exec: async () => undefined,
  }
  return db
}

test('a database that is coming up, or takes its password late, is waited for', async () => {
  const db = database('ENOTFOUND', 'ECONNREFUSED', '57P03', '28P01', '3D000')
  await waitForDatabase(db, { log: silentLogger(), timeoutMs: 5000, pollMs: 1 })
  assert.equal(db.asked, 6)
})

test('what no waiting helps, and the end of the time, are errors', async () => {
  const options = { log: silentLogger(), timeoutMs: 5000, pollMs: 1 }
  await assert.rejects(waitForDatabase(database('42501'), options), /it says 42501/)
  const db = database(...Array.from({ length: 1000 }, () => '28P01'))
  await assert.rejects(waitForDatabase(db, { ...options, timeoutMs: 20 }), /it says 28P01/)
  assert.ok(db.asked > 1)
})
