// SPDX-License-Identifier: Apache-2.0
import type { ServiceDefinition } from '@open-nemo/runtime'
import { createLocalProcessExecutor } from '@open-nemo/runtime/executors/index.ts'
import { createLauncher } from './runner/launcher.ts'
import { startCustomizer } from './service.ts'

/** Targets, configs and jobs of fine-tuning. */
export const service: ServiceDefinition = {
  name: 'customizer',
  start: (ctx) =>
    startCustomizer(ctx, { launcher: createLauncher(ctx), executor: createLocalProcessExecutor() }),
}
