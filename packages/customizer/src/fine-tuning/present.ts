// SPDX-License-Identifier: Apache-2.0
import type { FineTuningEvent, FineTuningJob } from '@open-nemo/contract/customization/fine-tuning.ts'
import type { CustomizationJob } from '../jobs/types.ts'

const STATUSES: Record<string, FineTuningJob['status']> = {
  created: 'validating_files',
  pending: 'queued',
  running: 'running',
  cancelling: 'running',
  cancelled: 'cancelled',
  completed: 'succeeded',
  failed: 'failed',
}

/** `ftjob-x` is the customization job `cust-x`. */
export const toJobId = (id: string) => id.replace(/^ftjob-/, 'cust-')
export const fromJobId = (id: string) => id.replace(/^cust-/, 'ftjob-')

/** A customization job as a fine-tuning job; one that another API made is shown as far as it goes. */
export function presentFineTuning(job: CustomizationJob): FineTuningJob {
  const { payload, state } = job
  const { fine_tuning: origin, hyperparameters } = payload
  const shown = origin?.hyperparameters ?? {
    n_epochs: hyperparameters.epochs,
    batch_size: hyperparameters.batch_size,
    learning_rate_multiplier: 'auto' as const,
  }
  return {
    id: fromJobId(job.id),
    object: 'fine_tuning.job',
    model: origin?.model ?? payload.config_snapshot.base_model,
    created_at: seconds(job.createdAt),
    finished_at: state.ended_at ? seconds(state.ended_at) : null,
    fine_tuned_model: job.status === 'completed' ? payload.output_model : null,
    organization_id: 'default',
    result_files: [],
    status: STATUSES[job.status] ?? 'queued',
    training_file: origin?.training_file ?? payload.dataset,
    validation_file: origin?.validation_file ?? null,
    hyperparameters: shown,
    method: { type: 'supervised', supervised: { hyperparameters: shown } },
    trained_tokens: null,
    estimated_finish: null,
    integrations: (payload.kept.integrations as Record<string, unknown>[] | undefined) ?? [],
    seed: origin?.seed ?? hyperparameters.seed,
    metadata: origin?.metadata ?? null,
    user_provided_suffix: origin?.suffix ?? null,
    error: state.error ? { code: 'job_failed', message: state.error.message, param: null } : null,
  }
}

/** What happened to a job, newest first, with its losses as metrics and what its creation warned of. */
export function eventsOf(job: CustomizationJob): FineTuningEvent[] {
  const { logs, metrics } = job.state
  const messages = logs.map((log, at) => ({
    at: log.updated_at,
    event: event(`ftevent-${job.id}-${at}`, log.updated_at, {
      message: log.detail ? `${log.message}: ${log.detail}` : log.message,
      level: log.message.endsWith('Failed') || log.message === 'failed' ? 'error' : 'info',
    }),
  }))
  const warnings = job.payload.warnings.map((warning, at) => ({
    at: job.createdAt,
    event: event(`ftevent-${job.id}-warning-${at}`, job.createdAt, {
      message: warning.explanation ? `${warning.message}: ${warning.explanation}` : warning.message,
      level: 'warn',
    }),
  }))
  const losses = Object.entries(metrics).flatMap(([name, values]) =>
    values.map((value) => ({
      at: value.timestamp,
      event: event(`ftevent-${job.id}-${name}-${value.step}`, value.timestamp, {
        message: `Step ${value.step + 1}: ${name.replace('_', ' ')} ${value.value.toFixed(4)}`,
        type: 'metrics',
        data: { step: value.step + 1, [name === 'val_loss' ? 'valid_loss' : name]: value.value },
      }),
    })),
  )
  return [...messages, ...warnings, ...losses]
    .sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0))
    .map((one) => one.event)
}

function event(id: string, at: string, more: Partial<FineTuningEvent>): FineTuningEvent {
  return {
    id,
    object: 'fine_tuning.job.event',
    created_at: seconds(at),
    level: 'info',
    message: '',
    type: 'message',
    data: {},
    ...more,
  }
}

/** Whole seconds since 1970 of a naive UTC time. */
const seconds = (naive: string) => Math.floor(Date.parse(`${naive}Z`) / 1000)
