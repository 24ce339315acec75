// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../telemetry/log.ts'
import { migrate } from './migrate.ts'
import { openServer } from './server.ts'
import { findPostgres, startTestServer } from './testing.ts'
import { isUniqueViolation } from './types.ts'

const bin = findPostgres()
const skip = bin ? false : 'PostgreSQL server programs (initdb, postgres) are not installed'

test('a PostgreSQL server: migrations by many at once, transactions, any password', { skip }, async () => {
  const server = await startTestServer(bin ?? '')
  const pools = Array.from({ length: 4 }, () => openServer(server.dsn, { log: silentLogger(), max: 2 }))
  try {
    const first = { id: 1, name: 'init', sql: 'CREATE TABLE shop.a (id int PRIMARY KEY, doc jsonb)' }
    const second = { id: 2, name: 'row', sql: 'INSERT INTO shop.a VALUES (0)' }
    await Promise.all(pools.map((db) => migrate(db, 'shop', [first, second])))
    const [db] = pools
    assert.ok(db)
    await assert.rejects(
      db.transaction(async (tx) => {
        await tx.query('INSERT INTO shop.a VALUES (1, $1::jsonb)', [JSON.stringify({ a: [1] })])
        await tx.query('INSERT INTO shop.a VALUES (1)')
      }),
      (err) => isUniqueViolation(err),
    )
    await db.query('INSERT INTO shop.a VALUES (2, $1::jsonb)', [JSON.stringify({ a: [1] })])
    assert.deepEqual(await db.query('SELECT * FROM shop.a ORDER BY id'), [
      { id: 0, doc: null },
      { id: 2, doc: { a: [1] } },
    ])
  } finally {
    await Promise.all(pools.map((db) => db.close()))
    await server.stop()
  }
})
