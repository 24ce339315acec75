// SPDX-License-Identifier: Apache-2.0
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'

/** The licence this platform itself is under, word for word. */
const APACHE_2 = new URL('../../../../LICENSE', import.meta.url)

/** A licence as a NIM describes it: with its text where that is known, else by its name alone. */
export function licenceInfo(name: string) {
  const known = name.toLowerCase() === 'apache-2.0' && existsSync(APACHE_2)
  const content = known ? readFileSync(APACHE_2, 'utf8') : ''
  return {
    name,
    path: known ? 'LICENSE' : '',
    sha: known ? createHash('sha256').update(content).digest('hex') : '',
    size: Buffer.byteLength(content),
    url: known ? 'https://www.apache.org/licenses/LICENSE-2.0' : '',
    type: 'file',
    content,
  }
}
