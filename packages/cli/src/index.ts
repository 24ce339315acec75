// SPDX-License-Identifier: Apache-2.0
export { platformConfig } from './platform/config.ts'
export { type Platform, startPlatform } from './platform/start.ts'
