// SPDX-License-Identifier: Apache-2.0
import type { FineTuningOrigin } from '@open-nemo/contract/customization/fine-tuning.ts'
import type { Hyperparameters } from '@open-nemo/contract/customization/hyperparameters.ts'
import type {
  DatasetParameters,
  JobWarning,
  MetricValue,
  StatusLog,
  TrainingOption,
} from '@open-nemo/contract/customization/schemas.ts'
import type { Carrier } from '@open-nemo/runtime'
import type { StoredJob } from '@open-nemo/runtime/jobs/index.ts'
import type { DataSource } from '../data/source.ts'

/** What a job was asked to do; written once, at its creation. */
export interface JobPayload {
  namespace: string
  name: string | null
  /** Fields of the request that are only kept: description, project, custom_fields, ownership, … */
  kept: Record<string, unknown>
  config: string
  /** `ns/name` of the target. */
  target: string
  config_snapshot: {
    base_model: string
    max_seq_length: number
    precision: string
    training_option: TrainingOption
    prompt_template: string
    dataset_schema?: Record<string, unknown>
  }
  chat_prompt_template: string | null
  /** Only in jobs that tune an embedding model. */
  task?: 'embedding'
  /** How such a job uses its rows. */
  dataset_parameters?: Pick<
    DatasetParameters,
    'in_batch_negatives' | 'num_hard_negatives' | 'negative_sample_strategy'
  >
  /** Tools for the chats that name none of their own. */
  tools: Record<string, unknown>[] | null
  dataset: string
  source: DataSource
  hyperparameters: Hyperparameters
  /** Whether the request named warmup_steps itself; else the trainer bounds them by the job's length. */
  has_warmup: boolean
  /** `ns/name@version`, or null for a job that only writes its files. */
  output_model: string | null
  warnings: JobWarning[]
  /** The key for Weights & Biases that came with the request, encrypted. */
  wandb_key?: string
  /** Only in jobs that OpenAI's API made. */
  fine_tuning?: FineTuningOrigin
  /** Trace of the request that made it; absent while traces are off. */
  trace?: Carrier
}

/** What has come of a job so far. */
export interface JobState {
  logs: StatusLog[]
  warnings: JobWarning[]
  metrics: Record<string, MetricValue[]>
  steps_completed: number
  epochs_completed: number
  steps_total: number | null
  steps_per_epoch: number | null
  best_epoch: number | null
  train_loss: number | null
  val_loss: number | null
  /** When training first ran, and when the job ended; null before. */
  started_at: string | null
  ended_at: string | null
  /** Bytes of the trainer's event log that are in here already. */
  event_offset: number
  /** How the trainer said it ended. */
  trainer: { kind: 'completed' } | { kind: 'failed'; message: string; detail: string | null } | null
  data: { training: string[]; validation: string[] } | null
  /** sha256 of the base weights and commit of the adapter, once known. */
  weights_sha256: string | null
  commit: string | null
  error: { message: string; detail: string | null; at: string } | null
  /** What each experiment tracker has of the job already. */
  tracking?: Record<string, { memory: Record<string, string | number>; sent: Record<string, number> }>
}

export type CustomizationJob = StoredJob<JobPayload, JobState>
