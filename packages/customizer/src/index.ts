// SPDX-License-Identifier: Apache-2.0
import type { ServiceDefinition } from '@open-nemo/runtime'
import { createLocalProcessExecutor } from '@open-nemo/runtime/executors/index.ts'
import { readConfig } from './config.ts'
import { createClusterExecutor } from './kubernetes.ts'
import { createLauncher, createRemoteLauncher } from './runner/launcher.ts'
import { startCustomizer } from './service.ts'

/** Targets, configs and jobs of fine-tuning. */
export const service: ServiceDefinition = {
  name: 'customizer',
  start: async (ctx) =>
    readConfig(ctx.env).executor === 'kubernetes'
      ? startCustomizer(ctx, { launcher: createRemoteLauncher(), executor: await createClusterExecutor(ctx) })
      : startCustomizer(ctx, { launcher: createLauncher(ctx), executor: createLocalProcessExecutor() }),
}
