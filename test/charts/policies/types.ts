// SPDX-License-Identifier: Apache-2.0
import type { KubeObject } from '../helm.ts'

/** What a policy looks at: a rendered chart, and how the cluster gives pods their UID. */
export interface Rendered {
  objects: readonly KubeObject[]
  podSecurity: 'openshift' | 'kubernetes'
}

/** A rule that every rendering of a chart keeps: it returns what breaks it, one line each. */
export type Policy = (rendered: Rendered) => string[]
