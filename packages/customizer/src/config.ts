// SPDX-License-Identifier: Apache-2.0
import { availableParallelism, totalmem } from 'node:os'
import { parseConfig } from '@open-nemo/runtime'
import { z } from 'zod'

const schema = z.object({
  /** Most memory of a training run in MiB; 80 % of the machine's (or the container's) unless given, 0 for no limit. */
  NEMO_TRAINER_MEMORY_MB: z.coerce.number().int().min(0).optional(),
  /** Threads of a training run; all cores unless given. It runs at low priority either way. */
  NEMO_TRAINER_THREADS: z.coerce.number().int().min(1).max(1024).optional(),
  /** Seconds between checkpoints: the most work that a crash costs. */
  NEMO_TRAINER_CHECKPOINT_SECONDS: z.coerce.number().min(1).max(3600).default(60),
  /** Seconds to wait for a tuned model to be served before the job completes with a warning. */
  NEMO_SERVE_WAIT_SECONDS: z.coerce.number().min(0).max(3600).default(60),
  /** Where training runs: processes of this machine, or pods made by the training operator. */
  NEMO_EXECUTOR: z.enum(['process', 'kubernetes']).default('process'),
  /** Jobs that train at once; one on one machine, three in pods, unless given. */
  NEMO_CUSTOMIZER_JOBS: z.coerce.number().int().min(1).max(1000).optional(),
  /** MLflow server that every job is logged to. */
  NEMO_MLFLOW_URL: z.union([z.literal(''), z.url({ protocol: /^https?$/ })]).optional(),
  /** Weights & Biases; jobs bring their own key unless there is one here. */
  WANDB_BASE_URL: z.url({ protocol: /^https?$/ }).default('https://api.wandb.ai'),
  WANDB_API_KEY: z.string().optional(),
  /** What keys of jobs are encrypted with; a secret in the data folder unless given. */
  WANDB_ENCRYPTION_KEY: z.string().optional(),
  /** Port for the training pods; closed unless training runs on Kubernetes. */
  NEMO_INTERNAL_PORT: z.coerce.number().int().min(0).max(65_535).default(9009),
})

export interface CustomizerConfig {
  memoryBytes: number
  threads: number
  checkpointSeconds: number
  serveWaitMs: number
  executor: 'process' | 'kubernetes'
  /** Jobs that train at once. */
  jobs: number
  mlflowUrl: string | undefined
  wandb: { baseUrl: string; apiKey: string | undefined; encryptionKey: string | undefined }
  internalPort: number
}

const SHARE_OF_MEMORY = 0.8
const JOBS_IN_PODS = 3

/** The customizer's settings from the environment. Throws ConfigError naming the variable at fault. */
export function readConfig(env: Record<string, string | undefined>): CustomizerConfig {
  const given = parseConfig(schema, env)
  const limit = given.NEMO_TRAINER_MEMORY_MB
  return {
    memoryBytes: limit === undefined ? Math.round(availableMemory() * SHARE_OF_MEMORY) : limit * 2 ** 20,
    threads: given.NEMO_TRAINER_THREADS ?? availableParallelism(),
    checkpointSeconds: given.NEMO_TRAINER_CHECKPOINT_SECONDS,
    serveWaitMs: given.NEMO_SERVE_WAIT_SECONDS * 1000,
    executor: given.NEMO_EXECUTOR,
    jobs: given.NEMO_CUSTOMIZER_JOBS ?? (given.NEMO_EXECUTOR === 'kubernetes' ? JOBS_IN_PODS : 1),
    mlflowUrl: given.NEMO_MLFLOW_URL || undefined,
    wandb: {
      baseUrl: given.WANDB_BASE_URL,
      // A Secret made from a file ends with a newline.
      apiKey: given.WANDB_API_KEY?.trim() || undefined,
      encryptionKey: given.WANDB_ENCRYPTION_KEY || undefined,
    },
    internalPort: given.NEMO_INTERNAL_PORT,
  }
}

function availableMemory(): number {
  const constrained = process.constrainedMemory()
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
}
