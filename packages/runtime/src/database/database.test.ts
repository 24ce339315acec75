// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openEmbedded, openMemoryDatabase } from './embedded.ts'
import { migrate, NewerSchemaError } from './migrate.ts'
import { isUniqueViolation } from './types.ts'

const dir = await mkdtemp(join(tmpdir(), 'nemo-db-'))
after(() => rm(dir, { recursive: true, force: true }))

const first = {
  id: 1,
  name: 'init',
  sql: 'CREATE TABLE shop.a (id int PRIMARY KEY); CREATE TABLE shop.b (id int)',
}

test('keeps acknowledged rows over a reopening, and leaves no temporary folder', async () => {
  const path = join(dir, 'postgres')
  const db = await openEmbedded(path)
  await migrate(db, 'shop', [first])
  await db.query('INSERT INTO shop.a VALUES ($1)', [7])
  await db.close()
  const again = await openEmbedded(path)
  await migrate(again, 'shop', [first])
  assert.deepEqual(await again.query('SELECT id FROM shop.a'), [{ id: 7 }])
  await again.close()
  assert.deepEqual(await readdir(dir), ['postgres', 'postgres.reserve'])
})

test('transactions roll back, and unique violations are told apart', async () => {
  const db = await openMemoryDatabase()
  await migrate(db, 'shop', [first])
  await assert.rejects(
    db.transaction(async (tx) => {
      await tx.query('INSERT INTO shop.a VALUES (1)')
      await tx.query('INSERT INTO shop.a VALUES (1)')
    }),
    (err) => isUniqueViolation(err),
  )
  assert.deepEqual(await db.query('SELECT * FROM shop.a'), [])
  await db.close()
})

test('migrations apply once, a failing one leaves the schema as it was, a newer schema is refused', async () => {
  const db = await openMemoryDatabase()
  const bad = { id: 2, name: 'bad', sql: 'CREATE TABLE shop.c (id int); SELECT nonsense' }
  await migrate(db, 'shop', [first])
  await assert.rejects(migrate(db, 'shop', [first, bad]))
  const second = { id: 2, name: 'c', sql: 'CREATE TABLE shop.c (id int)' }
  await migrate(db, 'shop', [first, second])
  await migrate(db, 'shop', [first, second])
  await assert.rejects(migrate(db, 'shop', [first]), NewerSchemaError)
  await db.close()
})
