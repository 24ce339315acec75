// SPDX-License-Identifier: Apache-2.0
import { parseConfig } from '@open-nemo/runtime'
import { z } from 'zod'

const schema = z.object({
  /** Evaluation jobs that run at one time. */
  NEMO_EVALUATOR_JOBS: z.coerce.number().int().min(1).max(64).default(2),
  /** Requests at one time to a model under test, where a config gives no `parallelism`. */
  NEMO_EVALUATOR_PARALLELISM: z.coerce.number().int().min(1).max(1024).default(8),
  /** Seconds until a request to a model counts as lost, where a config gives no `request_timeout`. */
  NEMO_EVALUATOR_REQUEST_TIMEOUT: z.coerce.number().min(1).max(86_400).default(300),
  /** Folder with data sets that `file://<name>/` names, such as BEIR folders. */
  NEMO_EVALUATOR_DATASETS: z.string().optional(),
  /** Where jobs run: in the service, or in pods (through the Argo server where ARGO_HOST is set). */
  NEMO_EXECUTOR: z.enum(['process', 'kubernetes']).default('process'),
  NEMO_INTERNAL_TOKEN: z.string().optional(),
})

export interface EvaluatorConfig {
  jobs: number
  parallelism: number
  requestTimeout: number
  datasetsDir: string | undefined
  executor: 'process' | 'kubernetes'
  internalToken: string | undefined
  /** The raw environment, for kinds that read settings of their own. */
  env: Record<string, string | undefined>
}

/** The evaluator's settings from the environment. Throws ConfigError naming the variable at fault. */
export function readConfig(env: Record<string, string | undefined>): EvaluatorConfig {
  const given = parseConfig(schema, env)
  return {
    jobs: given.NEMO_EVALUATOR_JOBS,
    parallelism: given.NEMO_EVALUATOR_PARALLELISM,
    requestTimeout: given.NEMO_EVALUATOR_REQUEST_TIMEOUT,
    datasetsDir: given.NEMO_EVALUATOR_DATASETS,
    executor: given.NEMO_EXECUTOR,
    internalToken: given.NEMO_INTERNAL_TOKEN || undefined,
    env,
  }
}
