// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { PGlite } from '@electric-sql/pglite'
import { openMemoryDatabase } from './embedded.ts'
import { runInOneRound } from './one-round.ts'
import { type Database, isUniqueViolation } from './types.ts'

let db: Database

before(async () => {
  db = await openMemoryDatabase()
  await db.exec('CREATE TABLE t (id int PRIMARY KEY, v text)')
})
after(() => db.close())

test('parameters and results of every type in use, the same as with query of PGlite', async () => {
  const pg = await PGlite.create()
  const cases: Array<[string, unknown]> = [
    ['text', 'plain'],
    ['text', ''],
    ['text', `quotes " ' \\ {a,b} 模型 \u{1f600}`],
    ['text', null],
    ['int', 42],
    ['bigint', 42],
    ['float8', 1.5],
    ['float8', -1e-7],
    ['boolean', true],
    ['boolean', false],
    ['jsonb', '{"a":[1,null,{"b":"x"}]}'],
    ['text[]', ['a', 'b"c', 'd\\e', 'f,{g}', '', 'NULL']],
    ['int[]', [1, 2, 3]],
    ['text[]', []],
    ['bytea', new Uint8Array([0, 1, 255])],
    ['timestamptz', '2025-06-20T03:56:39.457Z'],
  ]
  for (const [type, value] of cases) {
    const sql = `SELECT $1::${type} AS v`
    const theirs = (await pg.query<{ v: unknown }>(sql, [value])).rows
    assert.deepEqual(await runInOneRound(pg, sql, [value]), theirs, `${type} ${value}`)
  }
  assert.deepEqual(await runInOneRound(pg, 'SELECT $1::jsonb AS v', [{ a: 1 }]), [{ v: { a: 1 } }])
  assert.deepEqual(await runInOneRound(pg, 'CREATE TABLE none (a int)', []), [])
  await pg.close()
})

test('an error carries its SQLSTATE and leaves the connection usable', async () => {
  await db.query('INSERT INTO t VALUES (1, $1)', ['a'])
  await assert.rejects(db.query('INSERT INTO t VALUES (1, $1)', ['b']), isUniqueViolation)
  await assert.rejects(db.query('SELECT nothing_here'), { code: '42703' })
  await assert.rejects(db.query('SELECT $1::int', ['x']), { code: '22P02' })
  await assert.rejects(db.query('SELECT 1; SELECT 2'), { code: '42601' })
  assert.deepEqual(await db.query('SELECT v FROM t'), [{ v: 'a' }])
})

test('a transaction keeps others out, rolls back on errors, and is of no use when it has ended', async () => {
  const order: string[] = []
  let ended: Parameters<Parameters<Database['transaction']>[0]>[0] | undefined
  const transaction = db.transaction(async (tx) => {
    ended = tx
    await tx.query('INSERT INTO t VALUES (2, $1)', ['tx'])
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.deepEqual(await tx.query('SELECT id FROM t ORDER BY id'), [{ id: 1 }, { id: 2 }])
    order.push('inside')
    throw new Error('undo')
  })
  const outside = db.query<{ n: number }>('SELECT count(*)::int AS n FROM t').then((rows) => {
    order.push('outside')
    return rows
  })
  await assert.rejects(transaction, /undo/)
  assert.deepEqual(await outside, [{ n: 1 }])
  assert.deepEqual(order, ['inside', 'outside'])
  await assert.rejects(async () => ended?.query('SELECT 1'), /has ended/)
})

test('a failed statement fails the whole transaction', async () => {
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.query('INSERT INTO t VALUES (3)')
      await tx.query('INSERT INTO t VALUES (1)')
    }),
    isUniqueViolation,
  )
  assert.deepEqual(await db.query('SELECT id FROM t WHERE id = 3'), [])
})

test('many statements at once are answered each with its own rows', async () => {
  const rows = await Promise.all(Array.from({ length: 200 }, (_, i) => db.query('SELECT $1::int AS i', [i])))
  assert.deepEqual(
    rows.flat(),
    Array.from({ length: 200 }, (_, i) => ({ i })),
  )
})
