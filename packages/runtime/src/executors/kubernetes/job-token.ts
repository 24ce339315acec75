// SPDX-License-Identifier: Apache-2.0
import { createHmac } from 'node:crypto'

/**
 * The secret by which the pod of one training job speaks to the customizer. It follows from the installation's token,
 * so that customizer and operator need not hand it to each other, and tells nothing of that one.
 */
export function jobToken(internalToken: string, jobId: string): string {
  return createHmac('sha256', internalToken).update(`training-job/${jobId}`).digest('hex')
}
