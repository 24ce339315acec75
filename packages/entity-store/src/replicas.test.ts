// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Database, openServer, type RunningService, silentLogger } from '@open-nemo/runtime'
import { findPostgres, startTestServer } from '@open-nemo/runtime/database/testing.ts'
import { startService } from './testing.ts'

const bin = findPostgres()
const REPLICAS = 3

describe('several replicas on one database', {
  skip: bin ? false : 'PostgreSQL server programs (initdb, postgres) are not installed',
}, () => {
  let server: Awaited<ReturnType<typeof startTestServer>>
  let pools: Database[]
  let replicas: RunningService[]

  before(async () => {
    server = await startTestServer(bin ?? '')
    pools = Array.from({ length: REPLICAS }, () =>
      openServer(server.dsn, { log: silentLogger(), connectMs: 300 }),
    )
    // all at once: migrations and seeds too
    replicas = await Promise.all(pools.map((db) => startService(db)))
  })
  after(async () => {
    for (const replica of replicas ?? []) await replica.stop()
    for (const db of pools ?? []) await db.close()
    await server?.stop()
  })

  const call = async (replica: number, method: string, path: string, body?: unknown) => {
    const init = { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
    const answer = await (replicas[replica] as RunningService).app.request(path, init)
    return { status: answer.status, headers: answer.headers, body: await answer.json() }
  }
  const everywhere = <T>(work: (replica: number) => Promise<T>) =>
    Promise.all(Array.from({ length: REPLICAS }, (_, replica) => work(replica)))

  it('see what any of them wrote, and let one of many creations of a name win', async () => {
    for (let round = 0; round < 10; round++) {
      const made = await everywhere((replica) =>
        call(replica, 'POST', '/v1/datasets', { name: `d${round}`, files_url: `hf://datasets/a/${replica}` }),
      )
      assert.deepEqual(made.map(({ status }) => status).sort(), [
        200,
        ...Array.from({ length: REPLICAS - 1 }, () => 409),
      ])
      const winner = made.find(({ status }) => status === 200)
      const read = await everywhere((replica) => call(replica, 'GET', `/v1/datasets/default/d${round}`))
      for (const { body } of read) assert.equal(body.files_url, winner?.body.files_url)
    }
    const [list] = await everywhere((replica) => call(replica, 'GET', '/v1/datasets?page_size=100'))
    assert.equal(list?.body.data.filter(({ name }: { name: string }) => /^d\d$/.test(name)).length, 10)
  })

  it('answer 503 with Retry-After while the server is away, and are well again without a restart', async () => {
    await server.kill()
    for (const gone of await everywhere((replica) => call(replica, 'GET', '/v1/datasets'))) {
      assert.equal(gone.status, 503)
      assert.ok(gone.headers.get('retry-after'))
      assert.equal(gone.body.code, 'DATABASE_UNAVAILABLE')
    }
    await server.start()
    for (const back of await everywhere((replica) => call(replica, 'GET', '/v1/datasets/default/d0')))
      assert.equal(back.status, 200)
    const made = await everywhere((replica) =>
      call(replica, 'POST', '/v1/datasets', { name: `after${replica}`, files_url: 'hf://datasets/a/b' }),
    )
    for (const { status } of made) assert.equal(status, 200)
  })
})
