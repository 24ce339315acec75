// SPDX-License-Identifier: Apache-2.0
export { createLocalProcessExecutor, type LocalProcessOptions } from './local-process.ts'
export type { Execution, ExecutionEvent, ExecutionLimits, ExecutionSpec, Executor, Outcome } from './types.ts'
