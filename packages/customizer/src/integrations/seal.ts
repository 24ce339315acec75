// SPDX-License-Identifier: Apache-2.0
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** Encrypts what must outlive this process, but not be readable where it is stored. */
export interface Sealer {
  seal(text: string): string
  /** The text, or undefined when it was sealed with another secret. */
  open(sealed: string): string | undefined
}

const IV_BYTES = 12
const TAG_BYTES = 16

/** AES-256-GCM under `secret`, or under one that is made once and kept in `dataDir` for this user alone. */
export async function createSealer(dataDir: string, secret: string | undefined): Promise<Sealer> {
  const key = createHash('sha256')
    .update(secret ?? (await ownSecret(dataDir)))
    .digest()
  return {
    seal(text) {
      const iv = randomBytes(IV_BYTES)
      const cipher = createCipheriv('aes-256-gcm', key, iv)
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([iv, cipher.getAuthTag(), body]).toString('base64')
    },
    open(sealed) {
      try {
        const bytes = Buffer.from(sealed, 'base64')
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, IV_BYTES))
        decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES))
        const body = bytes.subarray(IV_BYTES + TAG_BYTES)
        return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8')
      } catch {
        return undefined
      }
    },
  }
}

async function ownSecret(dataDir: string): Promise<string> {
  const path = join(dataDir, 'secret')
  const known = await readFile(path, 'utf8').catch(() => '')
  if (known) return known
  const made = randomBytes(32).toString('base64')
  await writeFile(`${path}.tmp`, made, { mode: 0o600 })
  await rename(`${path}.tmp`, path)
  return made
}
