// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))

export interface Ended {
  /** Exit status; null when a signal ended it or it could not be started. */
  code: number | null
  /** Standard output and standard error, as they came. */
  output: string
}

export interface CommandOptions {
  cwd?: string
  env?: Record<string, string | undefined>
  /** Called with each line of standard output. */
  onLine?: (line: string) => void
  /** Milliseconds after which the command is killed. */
  timeout?: number
}

/** Runs a command without input; never rejects: a command that cannot be started ends with code null and says why. */
export function runCommand(command: string, args: string[], options: CommandOptions = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: options.timeout,
      killSignal: 'SIGKILL',
    })
    let output = ''
    let rest = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) options.onLine?.(line)
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
    })
    child.on('error', (error) => resolve({ code: null, output: `${output}${error.message}` }))
    child.on('close', (code, signal) => {
      if (rest !== '') options.onLine?.(rest)
      resolve({ code, output: signal ? `${output}\nended by ${signal}` : output })
    })
  })
}
