// SPDX-License-Identifier: Apache-2.0
export {
  createKubernetesApi,
  inCluster,
  type KubernetesApi,
  type KubernetesAt,
  KubernetesError,
} from './kubernetes/api.ts'
export {
  createKubernetesExecutor,
  type KubernetesExecutorOptions,
  resourceName,
} from './kubernetes/executor.ts'
export { jobToken } from './kubernetes/job-token.ts'
export { createLocalProcessExecutor, type LocalProcessOptions } from './local-process.ts'
export type { Execution, ExecutionEvent, ExecutionLimits, ExecutionSpec, Executor, Outcome } from './types.ts'
