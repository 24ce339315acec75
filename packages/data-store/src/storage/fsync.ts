// SPDX-License-Identifier: Apache-2.0
import { open } from 'node:fs/promises'

/** Makes the content of a file durable. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Makes the names in a folder durable: a rename counts only after this. */
export const syncFolder = syncFile
