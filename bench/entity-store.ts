// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { openEmbedded } from '@open-nemo/runtime'
import autocannon from 'autocannon'
import { type Bench, type Row, withFolder, withPlatform } from './lib.ts'

const CONNECTIONS = 16
const SECONDS = 10
const ENTITIES = 100_000

/** Create, get and list through the platform's port, with real HTTP and the embedded database on disk. */
export const bench: Bench = {
  run: async () => {
    const rows = await withPlatform(({ urls }) => measure(urls.platform))
    const get = rows.find((row) => row.name === 'entity_store.get_per_s')
    if (get) {
      const bare = await bareDriver()
      Object.assign(get, {
        peer: 'bare PGlite driver, same row, no HTTP',
        peer_value: bare,
        ratio: Math.round((get.value / bare) * 1000) / 1000,
      })
    }
    return rows
  },
}

async function measure(url: string): Promise<Row[]> {
  let created = 0
  const create = {
    method: 'POST',
    path: '/v1/datasets',
    headers: { 'content-type': 'application/json' },
    setupRequest: (request: object) => ({ ...request, body: body(created++) }),
  }
  const shoot = async (what: string, options: Parameters<typeof autocannon>[0]) => {
    const result = await autocannon(options)
    if (result.non2xx > 0 || result.errors > 0)
      throw new Error(`${what}: ${result.non2xx} refused, ${result.errors} failed`)
    console.log(`${what}: ${result.requests.total} in ${result.duration} s, p99 ${result.latency.p99} ms`)
    return result
  }
  const rate = (result: { requests: { total: number }; duration: number }) =>
    Math.round(result.requests.total / result.duration)

  const creates = await shoot('create', {
    url,
    connections: CONNECTIONS,
    duration: SECONDS,
    requests: [create],
  })
  let asked = 0
  const known = creates.requests.total
  const get = {
    method: 'GET',
    setupRequest: (request: object) => ({ ...request, path: `/v1/datasets/bench/d${asked++ % known}` }),
  }
  const gets = await shoot('get', { url, connections: CONNECTIONS, duration: SECONDS, requests: [get] })
  await shoot('fill', {
    url,
    connections: CONNECTIONS,
    amount: Math.max(CONNECTIONS, ENTITIES - known),
    requests: [create],
  })
  const path = '/v1/datasets?page_size=100&sort=-created_at&filter[namespace]=bench'
  const lists = await shoot('list', {
    url,
    connections: 1,
    duration: SECONDS,
    requests: [{ method: 'GET', path }],
  })
  return [
    { name: 'entity_store.create_per_s', value: rate(creates), unit: '1/s', target: 1500 },
    { name: 'entity_store.get_per_s', value: rate(gets), unit: '1/s', target: 2500 },
    { name: 'entity_store.list_100_of_100000_p99_ms', value: lists.latency.p99, unit: 'ms', target: 20 },
  ]
}

function body(i: number): string {
  return JSON.stringify({
    namespace: 'bench',
    name: `d${i}`,
    files_url: `hf://datasets/bench/d${i}`,
    description: 'made by the benchmark',
    custom_fields: { number: `${i}` },
  })
}

/** Selects per second of one row by key, one after the other, without HTTP: what the engine itself can do. */
async function bareDriver(): Promise<number> {
  return withFolder(async (dir) => {
    const db = await openEmbedded(join(dir, 'postgres'))
    try {
      await db.query(
        'CREATE TABLE bare (namespace text, name text, document jsonb, PRIMARY KEY (namespace, name))',
      )
      await db.query(
        `INSERT INTO bare SELECT 'bench', 'd' || i, $1::jsonb FROM generate_series(0, 9999) AS i`,
        [body(0)],
      )
      const from = performance.now()
      let done = 0
      while (performance.now() - from < 5_000) {
        const sql = 'SELECT document FROM bare WHERE namespace = $1 AND name = $2'
        await db.query(sql, ['bench', `d${done++ % 10_000}`])
      }
      return Math.round(done / ((performance.now() - from) / 1000))
    } finally {
      await db.close()
    }
  })
}
