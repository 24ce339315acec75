// SPDX-License-Identifier: Apache-2.0
import type { Controller } from './framework/types.ts'

/** The three processes that reconcile; each has a field manager and a Lease of its own. */
export const OPERATORS = ['nemo', 'training', 'nim'] as const
export type OperatorName = (typeof OPERATORS)[number]

/** The controllers of each operator, loaded when it starts so that a process holds only its own. */
export const CONTROLLERS: Record<OperatorName, (() => Promise<Controller>)[]> = {
  nemo: [
    async () => (await import('./nemo-service/index.ts')).customizerController,
    async () => (await import('./nemo-service/index.ts')).datastoreController,
    async () => (await import('./nemo-service/index.ts')).entitystoreController,
    async () => (await import('./nemo-service/index.ts')).evaluatorController,
    async () => (await import('./nemo-service/index.ts')).guardrailController,
  ],
  training: [async () => (await import('./trainingjob/controller.ts')).trainingJobController],
  nim: [
    async () => (await import('./nimcache/controller.ts')).nimCacheController,
    async () => (await import('./nimservice/controller.ts')).createNimServiceController(),
    async () => (await import('./nimpipeline/controller.ts')).nimPipelineController,
  ],
}
