// SPDX-License-Identifier: Apache-2.0
import { nowMicros } from '@open-nemo/contract'
import type { Migration } from '../database/migrate.ts'
import type { Database, Queryable } from '../database/types.ts'
import { type ClaimOptions, type JobChange, type Lease, LeaseLostError, type StoredJob } from './types.ts'

export type JobStore<Payload, State> = ReturnType<typeof createJobStore<Payload, State>>

/** The migration that makes the job table in a service's own schema; the service lists it among its own. */
export function jobTableMigration(id: number, schema: string): Migration {
  return {
    id,
    name: 'jobs',
    sql: `
      CREATE TABLE ${schema}.jobs (
        id text COLLATE "C" PRIMARY KEY,
        kind text NOT NULL,
        status text COLLATE "C" NOT NULL,
        step text NOT NULL DEFAULT '',
        attempt int NOT NULL DEFAULT 0,
        owner text,
        heartbeat_at timestamptz,
        lease_until timestamptz,
        cancel_requested boolean NOT NULL DEFAULT false,
        payload jsonb NOT NULL,
        state jsonb NOT NULL,
        created_at text COLLATE "C" NOT NULL,
        updated_at text COLLATE "C" NOT NULL
      );
      CREATE INDEX jobs_created ON ${schema}.jobs (created_at, id);
      CREATE INDEX jobs_status ON ${schema}.jobs (status, created_at);`,
  }
}

/**
 * A table of leased jobs, `<schema>.jobs`, made by jobTableMigration. A worker claims the oldest job, keeps it by
 * heartbeats and writes its progress under the lease; a job whose worker died is claimed again after the lease.
 * Writes of a worker throw LeaseLostError when its lease is not the current one.
 */
export function createJobStore<Payload, State>(db: Database, schema: string) {
  type Job = StoredJob<Payload, State>
  const table = `${schema}.jobs`

  async function write(
    on: Queryable,
    lease: Lease,
    change: JobChange<State>,
    isRelease = false,
  ): Promise<Job> {
    // A job whose end was asked for says so until its worker lets go of it.
    const status = isRelease
      ? 'coalesce($4, status)'
      : 'CASE WHEN cancel_requested THEN status ELSE coalesce($4, status) END'
    const set = isRelease ? ', owner = NULL, lease_until = NULL, heartbeat_at = NULL' : ''
    const rows = await on.query<Row>(
      `UPDATE ${table} SET status = ${status}, step = coalesce($5, step),
         state = coalesce($6::jsonb, state), updated_at = $7 ${set}
       WHERE id = $1 AND owner = $2 AND attempt = $3 RETURNING ${COLUMNS}`,
      [
        lease.id,
        lease.owner,
        lease.attempt,
        change.status ?? null,
        change.step ?? null,
        change.state === undefined ? null : toJsonb(change.state),
        nowMicros(),
      ],
    )
    if (!rows[0]) throw new LeaseLostError(lease.id)
    return toJob<Payload, State>(rows[0])
  }

  return {
    /** Adds a job that waits for a worker. Throws the driver's unique violation when the id is taken. */
    async enqueue(job: {
      id: string
      kind: string
      status: string
      payload: Payload
      state: State
      createdAt?: string
    }): Promise<Job> {
      const [row] = await db.query<Row>(
        `INSERT INTO ${table} (id, kind, status, payload, state, created_at, updated_at)
         VALUES ($1, $2, $3, $4::jsonb, $5::jsonb, $6, $6) RETURNING ${COLUMNS}`,
        [
          job.id,
          job.kind,
          job.status,
          toJsonb(job.payload),
          toJsonb(job.state),
          job.createdAt ?? nowMicros(),
        ],
      )
      return toJob<Payload, State>(row as Row)
    },

    async get(id: string): Promise<Job | undefined> {
      const [row] = await db.query<Row>(`SELECT ${COLUMNS} FROM ${table} WHERE id = $1`, [id])
      return row && toJob<Payload, State>(row)
    },

    /** Jobs by a condition of the caller's own, `$1`… being `params`; `tail` is ORDER BY and LIMIT. */
    async select(where: string, params: unknown[], tail = ''): Promise<Job[]> {
      const rows = await db.query<Row>(`SELECT ${COLUMNS} FROM ${table} WHERE ${where} ${tail}`, params)
      return rows.map((row) => toJob<Payload, State>(row))
    },

    async count(where: string, params: unknown[]): Promise<number> {
      const [row] = await db.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM ${table} WHERE ${where}`,
        params,
      )
      return row?.n ?? 0
    },

    /** Takes the oldest job that nobody holds, or whose holder went silent; undefined when there is none. */
    async claim(options: ClaimOptions): Promise<Job | undefined> {
      const [row] = await db.query<Row>(
        `UPDATE ${table} SET owner = $1, attempt = attempt + 1, heartbeat_at = now(),
           lease_until = now() + $2 * interval '1 millisecond'
         WHERE id = (
           SELECT id FROM ${table}
           WHERE status = ANY($3::text[]) AND ($4::text IS NULL OR kind = $4)
             AND ($5::text IS NULL OR id = $5) AND (owner IS NULL OR lease_until < now())
           ORDER BY created_at, id LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING ${COLUMNS}`,
        [options.owner, options.leaseMs, options.statuses, options.kind ?? null, options.id ?? null],
      )
      return row && toJob<Payload, State>(row)
    },

    /** Prolongs the lease and tells whether the job's end was asked for. */
    async heartbeat(lease: Lease, leaseMs: number): Promise<{ isCancelRequested: boolean }> {
      const [row] = await db.query<{ cancel_requested: boolean }>(
        `UPDATE ${table} SET heartbeat_at = now(), lease_until = now() + $4 * interval '1 millisecond'
         WHERE id = $1 AND owner = $2 AND attempt = $3 RETURNING cancel_requested`,
        [lease.id, lease.owner, lease.attempt, leaseMs],
      )
      if (!row) throw new LeaseLostError(lease.id)
      return { isCancelRequested: row.cancel_requested }
    },

    /** Writes progress. */
    save: (lease: Lease, change: JobChange<State>) => write(db, lease, change),

    /** Writes progress and the step that comes next, at once: after a kill the finished step is not run again. */
    completeStep: (lease: Lease, next: string, change: Omit<JobChange<State>, 'step'> = {}) =>
      write(db, lease, { ...change, step: next }),

    /** Gives the job up: back to the queue, or with its final status. */
    release: (lease: Lease, change: JobChange<State> = {}) => write(db, lease, change, true),

    /**
     * Frees the jobs that `owner` held in an earlier life. Only for an owner that cannot live twice, such as
     * the holder of a locked folder; otherwise wait for the leases to run out.
     */
    async freeOwned(owner: string): Promise<void> {
      await db.query(
        `UPDATE ${table} SET owner = NULL, lease_until = NULL, heartbeat_at = NULL WHERE owner = $1`,
        [owner],
      )
    },

    /** Jobs whose holder has missed its lease. */
    async listExpired(): Promise<Job[]> {
      const rows = await db.query<Row>(
        `SELECT ${COLUMNS} FROM ${table} WHERE owner IS NOT NULL AND lease_until < now() ORDER BY created_at, id`,
      )
      return rows.map((row) => toJob<Payload, State>(row))
    },

    /**
     * Changes a job from outside of its worker, under a row lock. `change` sees the job as it is and answers what
     * to write, or undefined to leave it. Gives the job afterwards; undefined when there is none.
     */
    async update(
      id: string,
      change: (job: Job) => (JobChange<State> & { isCancelRequested?: boolean }) | undefined,
    ): Promise<Job | undefined> {
      return await db.transaction(async (tx) => {
        const [row] = await tx.query<Row>(`SELECT ${COLUMNS} FROM ${table} WHERE id = $1 FOR UPDATE`, [id])
        if (!row) return undefined
        const job = toJob<Payload, State>(row)
        const next = change(job)
        if (!next) return job
        const [after] = await tx.query<Row>(
          `UPDATE ${table} SET status = coalesce($2, status), step = coalesce($3, step),
             state = coalesce($4::jsonb, state), cancel_requested = coalesce($5, cancel_requested), updated_at = $6
           WHERE id = $1 RETURNING ${COLUMNS}`,
          [
            id,
            next.status ?? null,
            next.step ?? null,
            next.state === undefined ? null : toJsonb(next.state),
            next.isCancelRequested ?? null,
            nowMicros(),
          ],
        )
        return after && toJob<Payload, State>(after)
      })
    },

    /** Deletes a job in one of `statuses` that nobody holds; false when there is no such job. */
    async delete(id: string, statuses: readonly string[]): Promise<boolean> {
      const rows = await db.query(
        `DELETE FROM ${table} WHERE id = $1 AND status = ANY($2::text[]) AND owner IS NULL RETURNING id`,
        [id, statuses],
      )
      return rows.length === 1
    },
  }
}

/**
 * JSON that PostgreSQL takes: it refuses U+0000 and half surrogate pairs, which a program's output may hold. A job
 * whose progress could not be written would never end.
 */
function toJsonb(value: unknown): string {
  return JSON.stringify(value).replace(/\\(?:\\|u(?:0000|d[89a-f][0-9a-f]{2}))/gi, (found) =>
    found === '\\\\' ? found : '\ufffd',
  )
}

const COLUMNS =
  'id, kind, status, step, attempt, owner, cancel_requested, payload, state, created_at, updated_at'

interface Row {
  id: string
  kind: string
  status: string
  step: string
  attempt: number
  owner: string | null
  cancel_requested: boolean
  payload: unknown
  state: unknown
  created_at: string
  updated_at: string
}

function toJob<Payload, State>(row: Row): StoredJob<Payload, State> {
  return {
    id: row.id,
    kind: row.kind,
    status: row.status,
    step: row.step,
    attempt: row.attempt,
    owner: row.owner,
    isCancelRequested: row.cancel_requested,
    payload: row.payload as Payload,
    state: row.state as State,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}
