// SPDX-License-Identifier: Apache-2.0
import { accounts, narrowRoles } from './accounts.ts'
import { labelled, unique } from './metadata.ts'
import { podSecurity } from './pod-security.ts'
import type { Policy, Rendered } from './types.ts'
import { oneWriter, pinnedImages, resourcesAndProbes } from './workloads.ts'

export { unrepeatable } from './metadata.ts'
export type { Policy, Rendered } from './types.ts'

/** Every rule that a rendering of either chart keeps. */
export const POLICIES: Record<string, Policy> = {
  podSecurity,
  resourcesAndProbes,
  oneWriter,
  pinnedImages,
  accounts,
  narrowRoles,
  labelled,
  unique,
}

/** What breaks any of the rules. */
export const violations = (rendered: Rendered): string[] =>
  Object.values(POLICIES).flatMap((policy) => policy(rendered))
