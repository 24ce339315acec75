// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Database, openServer, silentLogger } from '@open-nemo/runtime'
import { findPostgres, startTestServer } from '@open-nemo/runtime/database/testing.ts'
import { createExactIndex } from './exact.ts'
import { openIndex } from './open.ts'
import { hasPgvector } from './pgvector.ts'
import type { VectorIndex } from './types.ts'

// Only pgvector asks it.
const db = {} as Database

const vector = (seed: number) => Array.from({ length: 16 }, (_, d) => Math.sin(seed * (d + 1)))
const entries = Array.from({ length: 300 }, (_, n) => ({ id: `d${n}`, vector: vector(n) }))

/** What every store has to do. */
async function proveIndex(index: VectorIndex): Promise<void> {
  assert.deepEqual(await index.search(vector(1), 3), [])
  await index.add(entries.slice(0, 200))
  await index.add(entries.slice(200))
  const found = await index.search(vector(7), 5)
  assert.equal(found.length, 5)
  assert.equal(found[0]?.id, 'd7')
  assert.ok(Math.abs((found[0]?.score ?? 0) - 1) < 1e-5)
  const scores = found.map(({ score }) => score)
  assert.deepEqual(
    scores,
    [...scores].sort((a, b) => b - a),
  )
  await index.add([{ id: 'late', vector: vector(1000) }])
  assert.equal((await index.search(vector(1000), 1))[0]?.id, 'late')
}

describe('vector indexes', () => {
  it('in memory', async () => {
    const index = createExactIndex()
    await proveIndex(index)
    await assert.rejects(index.add([{ id: 'short', vector: [1, 2] }]), /2 dimensions, the others 16/)
    await assert.rejects(index.search([1], 1), /dimensions/)
    await index.close()
  })

  const bin = findPostgres()
  const noPostgres = bin ? false : 'no PostgreSQL server is installed'
  it('in PostgreSQL by pgvector', { skip: noPostgres }, async (test) => {
    const server = await startTestServer(bin ?? '')
    const own = openServer(server.dsn, { log: silentLogger() })
    try {
      await own.exec('CREATE SCHEMA evaluator')
      if (!(await hasPgvector(own))) return test.skip('this PostgreSQL has no pgvector')
      const index = await openIndex({ env: { NEMO_VECTOR_STORE: 'pgvector' }, db: own }, 'test')
      await proveIndex(index)
      await index.close()
      const left = await own.query(`SELECT 1 FROM pg_tables WHERE schemaname = 'evaluator'`)
      assert.equal(left.length, 0)
    } finally {
      await own.close()
      await server.stop()
    }
  })

  const milvus = process.env.NEMO_TEST_MILVUS
  it('in Milvus', { skip: milvus ? false : 'NEMO_TEST_MILVUS names no Milvus server' }, async () => {
    const index = await openIndex({ env: { MILVUS_URL: milvus }, db }, 'test')
    try {
      await proveIndex(index)
    } finally {
      await index.close()
    }
  })

  it('names the setting at fault', async () => {
    await assert.rejects(openIndex({ env: { NEMO_VECTOR_STORE: 'milvus' }, db }, 'x'), /MILVUS_URL/)
    await assert.rejects(openIndex({ env: { NEMO_VECTOR_STORE: 'paper' }, db }, 'x'), /paper/)
  })
})
