// SPDX-License-Identifier: Apache-2.0
import { timingSafeEqual } from 'node:crypto'
import { jobToken } from '@open-nemo/runtime/executors/index.ts'

/** Whether an Authorization header carries the token of this very job. */
export function isTokenOf(jobId: string, internalToken: string, header: string | undefined): boolean {
  const given = Buffer.from(header ?? '')
  const wanted = Buffer.from(`Bearer ${jobToken(internalToken, jobId)}`)
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}
