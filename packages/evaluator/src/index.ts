// SPDX-License-Identifier: Apache-2.0
import type { ServiceDefinition } from '@open-nemo/runtime'
import { chooseLauncher } from './dispatch/choose.ts'
import { startEvaluator } from './service.ts'

export { evaluateJob } from './one-job.ts'

/** Targets, configs, jobs and results of evaluations. */
export const service: ServiceDefinition = {
  name: 'evaluator',
  start: async (ctx) => startEvaluator(ctx, { launcher: await chooseLauncher(ctx) }),
}
