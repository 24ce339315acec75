// SPDX-License-Identifier: Apache-2.0
export { createJobStore, type JobStore, jobTableMigration } from './store.ts'
export { type ClaimOptions, type JobChange, type Lease, LeaseLostError, type StoredJob } from './types.ts'
