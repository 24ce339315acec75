// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'

export class CommandError extends Error {
  readonly exitCode: number | null
  /** The last lines the command wrote. */
  readonly output: string

  constructor(command: string, exitCode: number | null, output: string) {
    super(`${command} ended with ${exitCode ?? 'a signal'}: ${output.trim() || 'no output'}`)
    this.name = 'CommandError'
    this.exitCode = exitCode
    this.output = output
  }
}

export type Env = Record<string, string | undefined>

const KEPT_LINES = 30

/**
 * Runs a command and gives its standard output. `onLine` sees every line of both streams as it
 * comes. Throws CommandError when it ends with another code than 0, and ENOENT when there is no such command.
 */
export function runCommand(
  command: string,
  args: string[],
  options: { env?: Env; cwd?: string; onLine?: (line: string) => void; signal?: AbortSignal } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: options.env as NodeJS.ProcessEnv | undefined,
      cwd: options.cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(options.signal ? { signal: options.signal } : {}),
    })
    let stdout = ''
    let tail: string[] = []
    const onLine = (line: string) => {
      tail = [...tail, line].slice(-KEPT_LINES)
      options.onLine?.(line)
    }
    child.stdout.setEncoding('utf8')
    child.stderr.setEncoding('utf8')
    child.stdout.on('data', (text: string) => {
      stdout += text
    })
    child.stdout.on('data', lineSplitter(onLine))
    child.stderr.on('data', lineSplitter(onLine))
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(stdout)
      else reject(new CommandError(`${command} ${args.slice(0, 4).join(' ')}`, code, tail.join('\n')))
    })
  })
}

function lineSplitter(onLine: (line: string) => void): (text: string) => void {
  let rest = ''
  return (text) => {
    const lines = (rest + text).split(/\r?\n|\r/)
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') onLine(line)
    // Progress bars end no line; what is left is short enough to keep.
    if (rest.length > 10_000) rest = ''
  }
}
