// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from 'node:crypto'
import { link, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Secrets of one installation, made once and never printed. */
export interface PlatformSecrets {
  /** Lets the services read from each other what callers may not see, such as API keys of models. */
  internalToken: string
}

/** Reads the secrets at `path`, making them first when absent; readable by the owner only. */
export async function loadSecrets(path: string): Promise<PlatformSecrets> {
  await mkdir(dirname(path), { recursive: true })
  const tmp = `${path}.${process.pid}.tmp`
  const fresh: PlatformSecrets = { internalToken: randomBytes(32).toString('hex') }
  await writeFile(tmp, JSON.stringify(fresh), { mode: 0o600 })
  try {
    await link(tmp, path)
  } catch (err) {
    if (!(err instanceof Error && 'code' in err && err.code === 'EEXIST')) throw err
  } finally {
    await rm(tmp, { force: true })
  }
  return JSON.parse(await readFile(path, 'utf8'))
}
