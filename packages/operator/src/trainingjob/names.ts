// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'

export const JOB_LABEL = 'nemo-training-job'
export const TEMPLATE_HASH = 'open-nemo.io/template-hash'
export const CONTAINER = 'trainer'

export const VOLCANO_JOB = { apiVersion: 'batch.volcano.sh/v1alpha1', kind: 'Job' }
export const BATCH_JOB = { apiVersion: 'batch/v1', kind: 'Job' }
export const POD_GROUP = { apiVersion: 'scheduling.volcano.sh/v1beta1', kind: 'PodGroup' }

/** Names of what a training job is made of. Kubernetes ends names of Jobs at 63 characters. */
export const namesOf = (name: string) => ({
  workspace: `${name}-workspace`,
  token: `${name}-token`,
  /** The run of one attempt with one pod template. */
  run: (attempt: number, hash: string) => `${name.slice(0, 48)}-${attempt}-${hash}`,
})

/** A short hash of a value, for names that have to change with it. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 8)
}
