// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processStart } from '@open-nemo/runtime'
import { isRunning, type ProcessId, signalGroup, waitGone } from '@open-nemo/runtime/executors/processes.ts'

export interface ProcessSpec {
  name: string
  command: string
  args: string[]
  env?: Record<string, string>
}

/** Programs that run in the background, each with a log and a file that says which process it is. */
export interface ProcessFolder {
  start(spec: ProcessSpec): Promise<void>
  running(name: string): Promise<ProcessId | undefined>
  /** Ends one: SIGTERM, then SIGKILL when it has not ended within `graceMs`. */
  stop(name: string, graceMs?: number): Promise<void>
  /** The last lines of its log. */
  tail(name: string): Promise<string>
}

/**
 * Keeps processes in `dir`, which outlives this one: another process finds them again by their files.
 * With `dieWithParent` the kernel ends them when this process ends, however it ends.
 */
export function processFolder(dir: string, options: { dieWithParent?: boolean } = {}): ProcessFolder {
  const idFile = (name: string) => join(dir, `${name}.process.json`)
  const logFile = (name: string) => join(dir, `${name}.log`)

  const running = async (name: string): Promise<ProcessId | undefined> => {
    const text = await readFile(idFile(name), 'utf8').catch(() => undefined)
    if (!text) return undefined
    const id = JSON.parse(text) as ProcessId
    return isRunning(id) ? id : undefined
  }

  return {
    running,
    start: async ({ name, command, args, env }) => {
      if (await running(name)) return
      const log = await open(logFile(name), 'a')
      try {
        const [file, ...rest] = options.dieWithParent
          ? ['setpriv', '--pdeathsig', 'KILL', '--', command, ...args]
          : [command, ...args]
        const child = spawn(file as string, rest, {
          detached: true,
          stdio: ['ignore', log.fd, log.fd],
          env: { ...process.env, ...env },
        })
        await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject))
        child.unref()
        const pid = child.pid as number
        await writeFile(idFile(name), JSON.stringify({ pid, started: processStart(pid) }))
      } finally {
        await log.close()
      }
    },
    stop: async (name, graceMs = 10_000) => {
      const id = await running(name)
      if (id) {
        signalGroup(id.pid, 'SIGTERM')
        if (!(await waitGone(id, graceMs))) {
          signalGroup(id.pid, 'SIGKILL')
          await waitGone(id, 5_000)
        }
      }
      await rm(idFile(name), { force: true })
    },
    tail: async (name) => {
      if (!existsSync(logFile(name))) return ''
      return (await readFile(logFile(name), 'utf8')).split('\n').slice(-20).join('\n')
    },
  }
}

/** Waits until `ready` is true. Throws with what `explain` says when `ms` have passed or it throws itself. */
export async function until(
  what: string,
  ms: number,
  ready: () => Promise<boolean>,
  explain: () => Promise<string> = async () => '',
): Promise<void> {
  const end = Date.now() + ms
  let last = ''
  for (;;) {
    try {
      if (await ready()) return
    } catch (error) {
      last = error instanceof Error ? error.message : String(error)
    }
    if (Date.now() > end) {
      throw new LabError(`${what} took longer than ${ms / 1000} s. ${last}\n${await explain()}`.trim())
    }
    await sleep(100)
  }
}

/** The lab cannot do what was asked; the message says why and what to do. */
export class LabError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'LabError'
  }
}
