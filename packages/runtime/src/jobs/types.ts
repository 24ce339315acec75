// SPDX-License-Identifier: Apache-2.0

/** A job as stored. `payload` is what was asked and never changes; `state` is what has come of it so far. */
export interface StoredJob<Payload = unknown, State = unknown> {
  id: string
  kind: string
  status: string
  /** The step that is to run next; '' before the first. */
  step: string
  /** How often a worker has begun on it. */
  attempt: number
  /** Who works on it, or null while nobody does. */
  owner: string | null
  /** Set when its user asked for its end; the worker sees it at its next heartbeat. */
  isCancelRequested: boolean
  payload: Payload
  state: State
  createdAt: string
  updatedAt: string
}

/** A worker's hold on a job. Writes carry it, so that a worker whose lease was taken over changes nothing. */
export interface Lease {
  id: string
  owner: string
  attempt: number
}

/** What a worker may change; fields that are absent keep their value. `state` replaces the whole. */
export interface JobChange<State> {
  status?: string
  step?: string
  state?: State
}

export interface ClaimOptions {
  owner: string
  /** How long the hold lasts without a heartbeat, in milliseconds. */
  leaseMs: number
  /** Statuses of jobs that are to be worked on. */
  statuses: readonly string[]
  kind?: string
  /** When given, this job and no other. */
  id?: string | undefined
}

/** The lease ran out and another worker took the job, or the job is gone: stop working on it. */
export class LeaseLostError extends Error {
  constructor(id: string) {
    super(`job ${id} is held by another worker now`)
    this.name = 'LeaseLostError'
  }
}
