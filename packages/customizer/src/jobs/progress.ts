// SPDX-License-Identifier: Apache-2.0
import type { JobStatus, StatusLog } from '@open-nemo/contract/customization/schemas.ts'
import type { JobState } from './types.ts'

/** Statuses that a job leaves by itself or by a cancellation. */
export const ACTIVE: readonly JobStatus[] = ['created', 'pending', 'running', 'cancelling']
export const FINAL: readonly JobStatus[] = ['completed', 'failed', 'cancelled']

const MOVES: Partial<Record<JobStatus, readonly JobStatus[]>> = {
  created: ['pending', 'cancelled', 'cancelling', 'failed'],
  pending: ['running', 'cancelled', 'cancelling', 'failed'],
  // Back to pending when the platform stops and the job waits for its next start.
  running: ['pending', 'completed', 'cancelling', 'failed'],
  cancelling: ['cancelled'],
}

/** Whether a job may go from one status to another; staying is always allowed. */
export function canMove(from: string, to: JobStatus): boolean {
  return from === to || (MOVES[from as JobStatus]?.includes(to) ?? false)
}

export function initialState(now: string): JobState {
  return {
    logs: [{ updated_at: now, message: 'created' }],
    warnings: [],
    metrics: { train_loss: [], val_loss: [] },
    steps_completed: 0,
    epochs_completed: 0,
    steps_total: null,
    steps_per_epoch: null,
    best_epoch: null,
    train_loss: null,
    val_loss: null,
    started_at: null,
    ended_at: null,
    event_offset: 0,
    trainer: null,
    data: null,
    weights_sha256: null,
    commit: null,
    error: null,
  }
}

/** Adds a status log entry. The same message again changes the detail of the last one in place. */
export function addLog(state: JobState, entry: StatusLog): JobState {
  const last = state.logs.at(-1)
  const before = last?.message === entry.message ? state.logs.slice(0, -1) : state.logs
  return { ...state, logs: [...before, entry] }
}

/** Takes one event of the trainer's log into the state. `offset` is where the log goes on after it. */
export function applyEvent(state: JobState, event: Record<string, unknown>, offset: number): JobState {
  const next = { ...state, event_offset: offset }
  switch (event.event) {
    case 'started':
      return started(next, event)
    case 'progress':
      return progressed(next, event)
    case 'validation':
      return validated(next, event)
    case 'warning':
      return withWarning(next, text(event.message) ?? 'unnamed')
    case 'completed':
      return completed(next, event)
    case 'failed':
      return {
        ...next,
        trainer: {
          kind: 'failed',
          message: text(event.message) ?? 'the trainer failed without a reason',
          detail: text(event.detail),
        },
      }
    default:
      return next
  }
}

/** A run that went on from an earlier checkpoint repeats the steps after it: what they told before is dropped. */
function started(state: JobState, event: Record<string, unknown>): JobState {
  const resumed = number(event.resumed_from_step) ?? 0
  const metrics = Object.fromEntries(
    Object.entries(state.metrics).map(([key, values]) => [key, values.filter((v) => v.step < resumed)]),
  )
  return {
    ...state,
    metrics,
    steps_completed: resumed,
    steps_total: number(event.steps_total),
    steps_per_epoch: number(event.steps_per_epoch),
    started_at: state.started_at ?? naive(event.t),
  }
}

function progressed(state: JobState, event: Record<string, unknown>): JobState {
  const next = {
    ...state,
    steps_completed: number(event.step) ?? state.steps_completed,
    epochs_completed: number(event.epochs_completed) ?? state.epochs_completed,
    train_loss: number(event.train_loss) ?? state.train_loss,
  }
  // Progress between two logged steps carries no loss; only preferences have an accuracy.
  return withMetric(withMetric(next, 'train_loss', event), 'train_accuracy', event)
}

function validated(state: JobState, event: Record<string, unknown>): JobState {
  const next = { ...state, val_loss: number(event.val_loss) ?? state.val_loss }
  return withMetric(withMetric(next, 'val_loss', event), 'val_accuracy', event)
}

function completed(state: JobState, event: Record<string, unknown>): JobState {
  return {
    ...state,
    steps_completed: number(event.steps) ?? state.steps_completed,
    best_epoch: number(event.best_epoch),
    train_loss: number(event.train_loss) ?? state.train_loss,
    val_loss: number(event.val_loss) ?? state.val_loss,
    trainer: { kind: 'completed' },
  }
}

function withMetric(state: JobState, key: string, event: Record<string, unknown>): JobState {
  const [step, value] = [number(event.step), number(event[key])]
  if (step === null || value === null) return state
  // Steps count from 0 in metrics, as the API's recorded runs show.
  const point = { step: step - 1, timestamp: naive(event.t), value }
  const before = (state.metrics[key] ?? []).filter((v) => v.step !== point.step)
  return { ...state, metrics: { ...state.metrics, [key]: [...before, point] } }
}

function withWarning(state: JobState, message: string): JobState {
  if (state.warnings.some((w) => w.message === message)) return state
  return { ...state, warnings: [...state.warnings, { message, explanation: null }] }
}

function number(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) ? value : null
}

function text(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}

/** The trainer writes UTC with a Z; the API's times have none. */
function naive(value: unknown): string {
  return String(value ?? '').replace(/Z$/, '')
}
