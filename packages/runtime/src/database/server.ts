// SPDX-License-Identifier: Apache-2.0
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool, type PoolClient } from 'pg'
import type { Logger } from '../telemetry/log.ts'
import { serverAddress } from './dsn.ts'
import { isLost, unavailable } from './lost.ts'
import type { Database, Queryable } from './types.ts'

/** A request waits so long for a server that restarts before it is told to come back later. */
const CONNECT_MS = 5000

export interface ServerOptions {
  log: Logger
  max?: number
  /** File with the certificate of the authority that the server's is signed by. */
  ca?: string | undefined
  /** Milliseconds for which a connection is tried again. */
  connectMs?: number
}

/**
 * Opens a pool on a PostgreSQL server. `dsn` is a `postgresql://` URL whose password may be percent-encoded; `sslmode`
 * and its companions count as for PostgreSQL's own clients. Connections are made when first used. While the server is
 * away, statements wait a little and then fail with DATABASE_UNAVAILABLE (503); once it is back, all goes on.
 */
export function openServer(dsn: string, options: ServerOptions): Database {
  const pool = new Pool({
    ...serverAddress(dsn, options.ca),
    max: options.max ?? 10,
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  })
  // Without a listener, a connection that the server closes would end the process: the pool listens to idle ones only.
  pool.on('error', (err) => options.log.warn({ err: err.message }, 'database connection lost; reconnecting'))
  pool.on('connect', (client) => client.on('error', () => {}))
  const connect = () => connected(pool, options.connectMs ?? CONNECT_MS)
  return {
    kind: 'server',
    query: async <R>(text: string, params?: unknown[]) => {
      const run = async (client: PoolClient) => (await client.query(text, params)).rows as R[]
      return await once(connect, run, isRead(text))
    },
    exec: (text) => once(connect, async (client) => void (await client.query(text)), false),
    transaction: (work) => transaction(connect, work),
    close: () => pool.end(),
  }
}

type Connect = () => Promise<PoolClient>

/** A connection, as soon as there is one; one that cannot be had yet is tried again, since nothing was asked of it. */
async function connected(pool: Pool, forMs: number): Promise<PoolClient> {
  const until = Date.now() + forMs
  for (let wait = 50; ; wait = Math.min(2 * wait, 500)) {
    try {
      return await pool.connect()
    } catch (err) {
      if (!isLost(err)) throw err
      if (Date.now() + wait > until) throw unavailable(err)
      await sleep(wait)
    }
  }
}

/**
 * Runs one statement. One that was under way when the connection broke may have been carried out, so only what reads
 * is repeated.
 */
async function once<T>(
  connect: Connect,
  run: (client: PoolClient) => Promise<T>,
  repeats: boolean,
): Promise<T> {
  const client = await connect()
  try {
    const result = await run(client)
    client.release()
    return result
  } catch (err) {
    const lost = isLost(err)
    client.release(lost)
    if (!lost) throw err
    if (!repeats) throw unavailable(err)
  }
  return await once(connect, run, false)
}

async function transaction<T>(connect: Connect, work: (tx: Queryable) => Promise<T>): Promise<T> {
  const client = await begun(connect)
  try {
    const result = await work(queryable(client))
    await client.query('COMMIT')
    client.release()
    return result
  } catch (err) {
    // A connection that cannot even roll back is dropped from the pool.
    const broken = await client.query('ROLLBACK').then(
      () => false,
      () => true,
    )
    client.release(broken)
    throw isLost(err) ? unavailable(err) : err
  }
}

/** A connection in a transaction: one that turns out to be dead is replaced before any work is done on it. */
async function begun(connect: Connect): Promise<PoolClient> {
  for (let tries = 3; ; tries--) {
    const client = await connect()
    try {
      await client.query('BEGIN')
      return client
    } catch (err) {
      client.release(true)
      if (!isLost(err)) throw err
      if (tries === 0) throw unavailable(err)
    }
  }
}

function isRead(text: string): boolean {
  return (
    /^\s*SELECT\b/i.test(text) &&
    !/\b(FOR (NO KEY )?UPDATE|nextval|pg_advisory|INSERT|UPDATE|DELETE)\b/i.test(text)
  )
}

function queryable(on: PoolClient): Queryable {
  return {
    query: async <R>(text: string, params?: unknown[]) => (await on.query(text, params)).rows as R[],
    exec: async (text) => {
      await on.query(text)
    },
  }
}
