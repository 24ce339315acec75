// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Env } from '@open-nemo/runtime/python/index.ts'

export interface HarnessRun {
  python: string
  program: string
  spec: string
  cwd: string
  /** The whole environment of the process. */
  env: Env
  signal: AbortSignal
  /** A line of JSON that the program tells. */
  onEvent: (event: Record<string, unknown>) => void
  /** A line of its error output that is worth a log. */
  onLine: (line: string) => void
}

const KEPT_LINES = 40
/** Progress bars, and what libraries say about themselves. */
const NOISE =
  /\d+%\||it\/s\]|examples\/s\]|^\s*$|\bINFO\b|\bDEBUG\b|FutureWarning|PyTorch was not found|None of PyTorch|not a git repository|using default|appears to be an instruct|fewshot_as_multiturn/

/** Runs the program to its end. Throws with the last words of a run that failed; an abort kills it with all it started. */
export async function runHarness(run: HarnessRun): Promise<void> {
  run.signal.throwIfAborted()
  // A group of its own, so that a kill reaches the processes that it started.
  const child = spawn(run.python, [run.program, run.spec], {
    cwd: run.cwd,
    env: run.env as NodeJS.ProcessEnv,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  const kill = () => {
    try {
      if (child.pid) process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has ended already.
    }
  }
  run.signal.addEventListener('abort', kill, { once: true })
  // A service that is told to end does not leave it behind.
  process.once('exit', kill)
  const last: string[] = []
  try {
    createInterface({ input: child.stdout }).on('line', (line) => {
      try {
        run.onEvent(JSON.parse(line))
      } catch {
        run.onLine(line)
      }
    })
    createInterface({ input: child.stderr }).on('line', (line) => {
      last.push(line)
      if (last.length > KEPT_LINES) last.shift()
      if (!NOISE.test(line)) run.onLine(line)
    })
    const code = await new Promise<number | NodeJS.Signals>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, signal) => resolve(code ?? signal ?? 'SIGKILL'))
    })
    run.signal.throwIfAborted()
    if (code !== 0) throw new Error(`lm-eval ended with ${code}: ${lastWords(last)}`)
  } finally {
    run.signal.removeEventListener('abort', kill)
    process.removeListener('exit', kill)
  }
}

/** The line of a Python traceback that says what went wrong, with what follows it. */
function lastWords(lines: string[]): string {
  const at = lines.findLastIndex((line) => /^[\w.]*(Error|Exception|Interrupt|Failed)\b/.test(line))
  const words = at >= 0 ? lines.slice(at) : lines.slice(-5)
  return words.join(' ').slice(0, 1500) || 'it said nothing'
}
