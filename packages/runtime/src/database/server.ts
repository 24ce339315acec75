// SPDX-License-Identifier: Apache-2.0
import { Pool, type PoolClient } from 'pg'
import type { Logger } from '../telemetry/log.ts'
import type { Database, Queryable } from './types.ts'

/**
 * Opens a pool on a PostgreSQL server. `dsn` is a `postgresql://` URL whose password may be percent-encoded;
 * `sslmode` in its query is honoured by the driver. Connections are made when first used.
 */
export function openServer(dsn: string, options: { log: Logger; max?: number }): Database {
  const pool = new Pool({ connectionString: dsn, max: options.max ?? 10, connectionTimeoutMillis: 10_000 })
  // Without a listener, an idle connection that the server closes would end the process.
  pool.on('error', (err) => options.log.warn({ err: err.message }, 'database connection lost; reconnecting'))
  return {
    kind: 'server',
    ...queryable(pool),
    transaction: (work) => transaction(pool, work),
    close: () => pool.end(),
  }
}

async function transaction<T>(pool: Pool, work: (tx: Queryable) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  try {
    await client.query('BEGIN')
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
    throw err
  }
}

function queryable(on: Pool | PoolClient): Queryable {
  return {
    query: async <R>(text: string, params?: unknown[]) => (await on.query(text, params)).rows as R[],
    exec: async (text) => {
      await on.query(text)
    },
  }
}
