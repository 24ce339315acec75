// SPDX-License-Identifier: Apache-2.0

/** Something that runs SQL: a database, or a transaction of it. Parameters are `$1`, `$2`, … */
export interface Queryable {
  /** Runs one statement and returns its rows. */
  query<R = Record<string, unknown>>(text: string, params?: unknown[]): Promise<R[]>
  /** Runs several statements without parameters. */
  exec(text: string): Promise<void>
}

/**
 * PostgreSQL, embedded or on a server; the same SQL runs on both.
 * The embedded one is a single connection: nothing but SQL may be awaited inside a transaction.
 */
export interface Database extends Queryable {
  readonly kind: 'embedded' | 'server'
  /** Commits when `work` resolves, rolls back when it throws. */
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>
  close(): Promise<void>
}

/** Whether a driver's error is a violated unique constraint (SQLSTATE 23505). */
export function isUniqueViolation(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '23505'
}
