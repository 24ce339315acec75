// SPDX-License-Identifier: Apache-2.0
export * from './common.ts'
export * from './errors.ts'
export * from './ids.ts'
export * from './names.ts'
export * from './paging.ts'
export * from './storable.ts'
export * from './time.ts'
