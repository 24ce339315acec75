// SPDX-License-Identifier: Apache-2.0
import { z } from 'zod'

/**
 * The address of a server by HTTP. A user or password in it would be shown wherever the address is, in answers, logs and
 * errors, while keys that have their own field are masked. (Evaluation masks them in addresses too, and takes them.)
 */
export const serverUrl = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .refine((url) => !hasCredentials(url), {
    error: 'must not have a user or password before an @: give the key as api_key, which is never shown',
  })

function hasCredentials(url: string): boolean {
  const parsed = URL.parse(url)
  return parsed !== null && (parsed.username !== '' || parsed.password !== '')
}
