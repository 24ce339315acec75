// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises'
import { type OperatorDefaults, operatorDefaults } from '@open-nemo/contract/kubernetes/operator-defaults.ts'
import { ConfigError } from '@open-nemo/runtime/config/parse.ts'
import type { Logger } from '@open-nemo/runtime/telemetry/log.ts'
import { parse } from 'yaml'
import { z } from 'zod'

const LOOK_MS = 5_000

/** Reads the defaults; a file that does not exist gives the built-in ones. Throws ConfigError naming what is wrong. */
export async function readDefaults(path: string): Promise<OperatorDefaults> {
  const text = await readFile(path, 'utf8').catch((err) => {
    if (err.code === 'ENOENT') return ''
    throw err
  })
  return parseDefaults(text, path)
}

function parseDefaults(text: string, path: string): OperatorDefaults {
  let given: unknown
  try {
    given = parse(text) ?? {}
  } catch (err) {
    throw new ConfigError(`${path} is no YAML: ${err instanceof Error ? err.message : String(err)}`)
  }
  const result = operatorDefaults.safeParse(given)
  if (!result.success) throw new ConfigError(`${path}:\n${z.prettifyError(result.error)}`)
  return result.data
}

export interface WatchedDefaults {
  current(): OperatorDefaults
  stop(): void
}

/** The defaults, read again when the file changes; a change that cannot be read keeps the last good ones. */
export async function watchDefaults(
  path: string,
  log: Logger,
  onChange: () => void,
  everyMs = LOOK_MS,
): Promise<WatchedDefaults> {
  let current = await readDefaults(path)
  let text = JSON.stringify(current)
  let complaint = ''
  const look = async () => {
    try {
      const next = await readDefaults(path)
      complaint = ''
      if (JSON.stringify(next) === text) return
      current = next
      text = JSON.stringify(next)
      log.info({ path }, 'the defaults changed')
      onChange()
    } catch (err) {
      const said = err instanceof Error ? err.message : String(err)
      if (said !== complaint) log.error({ path, detail: said }, 'the changed defaults are not used')
      complaint = said
    }
  }
  const timer = setInterval(look, everyMs)
  timer.unref()
  return { current: () => current, stop: () => clearInterval(timer) }
}
