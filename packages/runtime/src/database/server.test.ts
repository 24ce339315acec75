// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiError } from '@open-nemo/contract'
import { ConfigError } from '../config/parse.ts'
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

test('a server that restarts: requests wait or fail with 503, and all is well afterwards', {
  skip,
}, async () => {
  const server = await startTestServer(bin ?? '')
  const db = openServer(server.dsn, { log: silentLogger(), connectMs: 300 })
  try {
    await migrate(db, 'shop', [{ id: 1, name: 'init', sql: 'CREATE TABLE shop.a (id int PRIMARY KEY)' }])
    const acknowledged: number[] = []
    const outcomes = new Set<string>()
    let done = false
    const writing = (async () => {
      for (let id = 0; !done; id++) {
        try {
          await db.query('INSERT INTO shop.a VALUES ($1)', [id])
          acknowledged.push(id)
        } catch (err) {
          assert.ok(err instanceof ApiError, String(err))
          assert.equal(err.status, 503)
          assert.ok(err.headers['retry-after'])
          outcomes.add(err.code)
        }
        await sleep(2)
      }
    })()
    const held = db.transaction(async (tx) => {
      await tx.query('INSERT INTO shop.a VALUES (-1)')
      await sleep(300)
      await tx.query('INSERT INTO shop.a VALUES (-2)')
    })
    held.catch(() => {})
    await sleep(100)
    await server.kill()
    await sleep(700)
    await server.start()
    await sleep(300)
    done = true
    await writing
    await assert.rejects(held, { status: 503 })
    assert.deepEqual([...outcomes], ['DATABASE_UNAVAILABLE'])
    const stored = new Set((await db.query<{ id: number }>('SELECT id FROM shop.a')).map(({ id }) => id))
    assert.deepEqual(
      acknowledged.filter((id) => !stored.has(id)),
      [],
    )
    assert.ok(!stored.has(-1))
    // a restart while nobody asks is not noticed at all
    await server.kill()
    await server.start()
    const reads = Array.from({ length: 20 }, () => db.query('SELECT 1 AS one'))
    for (const rows of await Promise.all(reads)) assert.deepEqual(rows, [{ one: 1 }])
  } finally {
    await db.close()
    await server.stop()
  }
})

test('a restart that is over within the wait is not seen by those who ask', { skip }, async () => {
  const server = await startTestServer(bin ?? '')
  const db = openServer(server.dsn, { log: silentLogger() })
  try {
    await db.query('SELECT 1')
    await server.kill()
    const asked = Array.from({ length: 30 }, () => db.query('SELECT 1 AS one'))
    await server.start()
    for (const rows of await Promise.all(asked)) assert.deepEqual(rows, [{ one: 1 }])
  } finally {
    await db.close()
    await server.stop()
  }
})

test('TLS: sslmode means what it means to psql', { skip }, async () => {
  const server = await startTestServer(bin ?? '', { tls: true })
  const named = server.dsn.replace('127.0.0.1', 'localhost')
  const log = silentLogger()
  const secured = async (dsn: string, ca?: string) => {
    const db = openServer(dsn, { log, ca, connectMs: 0 })
    try {
      const [row] = await db.query<{ ssl: boolean }>(
        'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
      )
      return row?.ssl
    } finally {
      await db.close()
    }
  }
  try {
    assert.equal(await secured(`${server.dsn}?sslmode=require`), true)
    assert.equal(await secured(`${server.dsn}?sslmode=verify-ca&sslrootcert=${server.ca}`), true)
    assert.equal(await secured(`${named}?sslmode=verify-full&sslrootcert=${server.ca}`), true)
    assert.equal(await secured(named, server.ca), true)
    await assert.rejects(secured(`${server.dsn}?sslmode=disable`), /no encryption/)
    await assert.rejects(secured(`${named}?sslmode=verify-full`), /self-signed certificate/)
    await assert.rejects(secured(`${server.dsn}?sslmode=verify-ca`), /self-signed certificate/)
    await assert.rejects(
      secured(`${server.dsn}?sslmode=verify-full`, server.ca),
      /does not match certificate/,
    )
    await assert.rejects(secured(`${server.dsn}?sslmode=maybe`), ConfigError)
    await assert.rejects(secured(named, '/nonexistent'), ConfigError)
  } finally {
    await server.stop()
  }
})

test('every printable character may be in a password', { skip }, async () => {
  const server = await startTestServer(bin ?? '')
  const admin = openServer(server.dsn, { log: silentLogger() })
  const password = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('')
  try {
    await admin.exec(`CREATE ROLE odd LOGIN PASSWORD '${password.replaceAll("'", "''")}'`)
    const at = new URL(server.dsn)
    const dsn = `postgresql://odd:${encodeURIComponent(password)}@${at.host}/postgres`
    const db = openServer(dsn, { log: silentLogger() })
    assert.deepEqual(await db.query('SELECT current_user AS me'), [{ me: 'odd' }])
    await db.close()
    const wrong = openServer(dsn.replace('odd:', 'odd:x'), { log: silentLogger() })
    await assert.rejects(wrong.query('SELECT 1'), /password authentication failed/)
    await wrong.close()
  } finally {
    await admin.close()
    await server.stop()
  }
})
