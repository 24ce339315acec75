// SPDX-License-Identifier: Apache-2.0
import type { JobPayload } from '../jobs/types.ts'

/** One value of one metric; steps count from 1, as the trainer's do. */
export interface Point {
  key: string
  step: number
  /** In milliseconds. */
  at: number
  value: number
}

/** What an experiment tracker is told of a job. */
export interface RunFacts {
  job: string
  name: string
  startedAt: number
  params: Record<string, string | number | boolean>
  tags: Record<string, string>
}

export type Ending = 'completed' | 'failed' | 'cancelled'

/** Where a job's metrics go. `memory` is what it has to know again after a restart. Calls throw when they fail. */
export interface Tracker {
  name: 'MLflow' | 'Weights & Biases'
  /** Where it is, for messages; never with a key. */
  where: string
  begin(facts: RunFacts): Promise<Memory>
  log(memory: Memory, points: Point[], facts: RunFacts): Promise<Memory>
  end(memory: Memory, ending: Ending, at: number): Promise<void>
}

export type Memory = Record<string, string | number>

/** A tracker that answered with a refusal; the message has what it said. */
export class TrackerError extends Error {
  override name = 'TrackerError'
  /** Whether another try is useless. */
  readonly isFinal: boolean
  /** What it answered with; 0 when it did not. */
  readonly status: number

  constructor(message: string, isFinal: boolean, status = 0) {
    super(message)
    this.isFinal = isFinal
    this.status = status
  }
}

const TIMEOUT_MS = 30_000

type Json = Record<string, unknown>

/** POSTs JSON and gives the answer's; refusals become a TrackerError with the beginning of what was said. */
export function postJson(
  fetch: typeof globalThis.fetch,
  url: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<Json> {
  return exchange(fetch, url, { method: 'POST', body: JSON.stringify(body) }, headers)
}

/** The same with GET. */
export function getJson(
  fetch: typeof globalThis.fetch,
  url: string,
  headers: Record<string, string> = {},
): Promise<Json> {
  return exchange(fetch, url, {}, headers)
}

async function exchange(
  fetch: typeof globalThis.fetch,
  url: string,
  init: RequestInit,
  headers: Record<string, string>,
): Promise<Json> {
  let response: Response
  try {
    response = await fetch(url, {
      ...init,
      headers: { 'content-type': 'application/json', ...headers },
      signal: AbortSignal.timeout(TIMEOUT_MS),
      // A key must not follow to another server.
      redirect: 'manual',
    })
  } catch (err) {
    const cause = err instanceof Error && err.cause instanceof Error ? err.cause : err
    throw new TrackerError(`it did not answer: ${cause instanceof Error ? cause.message : cause}`, false)
  }
  const text = await response.text()
  if (!response.ok) {
    const isFinal = response.status < 500 && response.status !== 429 && response.status !== 408
    throw new TrackerError(`it answered ${response.status}: ${text.slice(0, 300)}`, isFinal, response.status)
  }
  try {
    return text ? (JSON.parse(text) as Json) : {}
  } catch {
    throw new TrackerError(`it answered no JSON: ${text.slice(0, 100)}`, true)
  }
}

/** What a job trained with, flat: `lora.alpha` and the like. */
export function paramsOf(payload: JobPayload): RunFacts['params'] {
  const params: RunFacts['params'] = {}
  const add = (prefix: string, record: Record<string, unknown>) => {
    for (const [key, value] of Object.entries(record)) {
      const name = prefix + key
      if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
        params[name] = value
      } else if (Array.isArray(value)) {
        params[name] = JSON.stringify(value)
      } else if (value && typeof value === 'object') {
        add(`${name}.`, value as Record<string, unknown>)
      }
    }
  }
  const { base_model, max_seq_length, precision } = payload.config_snapshot
  add('', { base_model, max_seq_length, precision, config: payload.config, dataset: payload.dataset })
  add('', payload.hyperparameters)
  return params
}
