// SPDX-License-Identifier: Apache-2.0
import { readFile, writeFile } from 'node:fs/promises'

/**
 * Writes a file unless it already holds this text; tells whether it wrote. Some of Kubernetes' programs end when a
 * file of theirs is touched.
 */
export async function writeIfChanged(path: string, text: string, mode = 0o600): Promise<boolean> {
  if ((await readFile(path, 'utf8').catch(() => undefined)) === text) return false
  await writeFile(path, text, { mode })
  return true
}
