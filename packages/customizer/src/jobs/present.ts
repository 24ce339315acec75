// SPDX-License-Identifier: Apache-2.0
import type { FlatStatus, Job, JobStatus, StatusDetails } from '@open-nemo/contract/customization/schemas.ts'
import type { CustomizationJob } from './types.ts'

/** A stored job as the API answers it. `now` is a naive UTC time, for the elapsed time of a job that runs. */
export function presentJob(job: CustomizationJob, now: string): Job {
  const { payload, state } = job
  const warnings = [...payload.warnings, ...state.warnings]
  return {
    id: job.id,
    created_at: job.createdAt,
    updated_at: job.updatedAt,
    namespace: payload.namespace,
    ...(payload.name === null ? {} : { name: payload.name }),
    ...payload.kept,
    config: payload.config,
    config_snapshot: payload.config_snapshot,
    dataset: payload.dataset,
    hyperparameters: payload.hyperparameters,
    output_model: payload.output_model,
    status: job.status as JobStatus,
    status_details: statusDetails(job, now),
    warnings: warnings.length > 0 ? warnings : null,
  }
}

/** The answer of GET …/status. */
export function presentStatus(job: CustomizationJob, now: string): FlatStatus {
  return { ...statusDetails(job, now), status: job.status as JobStatus }
}

function statusDetails(job: CustomizationJob, now: string): StatusDetails {
  const { state, payload } = job
  // Losses are always there; accuracies only where the training counts them.
  const keys = [...new Set(['train_loss', 'val_loss', ...Object.keys(state.metrics)])]
  const metrics = Object.fromEntries(keys.map((key) => [key, state.metrics[key] ?? []]))
  const hasMetrics = Object.values(metrics).some((values) => values.length > 0)
  return {
    created_at: state.started_at ?? job.createdAt,
    updated_at: job.updatedAt,
    elapsed_time: state.started_at ? seconds(state.started_at, state.ended_at ?? now) : 0,
    steps_completed: state.steps_completed,
    epochs_completed: state.epochs_completed,
    percentage_done: percentage(state.epochs_completed, payload.hyperparameters.epochs),
    ...given({
      steps_per_epoch: state.steps_per_epoch,
      best_epoch: state.best_epoch,
      train_loss: state.train_loss,
      val_loss: state.val_loss,
      metrics: hasMetrics ? { keys, metrics } : null,
    }),
    status_logs: state.logs,
  }
}

function percentage(done: number, epochs: number): number {
  return Math.min(100, Math.round((done / epochs) * 10_000) / 100)
}

function seconds(from: string, to: string): number {
  const ms = Date.parse(`${to}Z`) - Date.parse(`${from}Z`)
  return Math.max(0, Math.round(ms) / 1000)
}

function given<T extends Record<string, unknown>>(fields: T): T {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as T
}
