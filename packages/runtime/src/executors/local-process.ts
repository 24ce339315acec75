// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { tailEvents } from './events.ts'
import { isRunning, type ProcessId, residentBytes, signalGroup, waitGone } from './processes.ts'
import { readTail } from './read-tail.ts'
import type { Execution, ExecutionLimits, Executor, Outcome } from './types.ts'

export interface LocalProcessOptions {
  /** Added to the niceness of this process: the work yields to everything that answers users. */
  niceness?: number
  /** How long an execution has to stop on its own, in milliseconds. */
  graceMs?: number
  pollMs?: number
}

const PROCESS_FILE = 'process'
const EXIT_FILE = 'exit'
const MEMORY_FILE = 'memory-exceeded.json'
const LOG_FILE = 'trainer.log'
const EVENTS_FILE = 'events.jsonl'

/**
 * The shell around the program leads the process group. It records itself before the program starts, and the
 * program's exit code after: neither depends on this process being alive. TERM is caught, not ignored, so that the
 * program gets the default again.
 */
const WRAPPER = `trap : TERM INT
{ cat /proc/$$/stat 2>/dev/null || echo $$; } > ${PROCESS_FILE}.tmp && mv ${PROCESS_FILE}.tmp ${PROCESS_FILE}
nice -n "$0" "$@" >> ${LOG_FILE} 2>&1 < /dev/null
echo $? > ${EXIT_FILE}.tmp && mv ${EXIT_FILE}.tmp ${EXIT_FILE}`

/** Runs executions as detached processes of this machine. */
export function createLocalProcessExecutor(options: LocalProcessOptions = {}): Executor {
  const { niceness = 10, graceMs = 4000, pollMs = 200 } = options

  async function attach(ref: { id: string; workdir: string; limits: ExecutionLimits }) {
    const process = await readProcess(ref.workdir)
    return process && execution({ ...ref, process, graceMs, pollMs })
  }

  async function clear({ workdir }: { workdir: string }): Promise<void> {
    const process = await readProcess(workdir)
    if (process) await endGroup(process, graceMs)
    for (const name of [PROCESS_FILE, EXIT_FILE, MEMORY_FILE]) await rm(join(workdir, name), { force: true })
  }

  return {
    attach,
    clear,
    async start(spec) {
      const alive = await readProcess(spec.workdir)
      if (alive && isRunning(alive))
        throw new Error(`execution ${spec.id} runs already as process ${alive.pid}`)
      await clear(spec)
      const child = spawn('/bin/sh', ['-c', WRAPPER, String(niceness), ...spec.command], {
        cwd: spec.workdir,
        // Spinning threads on a busy machine cost ten times the time.
        env: { OMP_WAIT_POLICY: 'passive', ...spec.env },
        detached: true,
        stdio: 'ignore',
      })
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve)
        child.once('error', reject)
      })
      child.unref()
      const started = await waitForProcess(spec.workdir, child.pid ?? 0)
      return execution({ ...spec, process: started, graceMs, pollMs })
    },
    log: ({ workdir }, maxBytes) => readTail(join(workdir, LOG_FILE), maxBytes),
  }
}

interface ExecutionArgs {
  id: string
  workdir: string
  limits: ExecutionLimits
  process: ProcessId
  graceMs: number
  pollMs: number
}

function execution(args: ExecutionArgs): Execution {
  const { id, workdir, process, pollMs } = args
  const watching = watch(args)
  // Whoever waits for the outcome sees its error; nobody waiting is no reason to end this process.
  watching.catch(() => undefined)
  return {
    id,
    outcome: () => watching,
    events: (offset, signal) =>
      tailEvents({
        path: join(workdir, EVENTS_FILE),
        offset,
        isOver: () => !isRunning(process),
        pollMs,
        ...(signal ? { signal } : {}),
      }),
    async stop(graceMs = args.graceMs) {
      await endGroup(process, graceMs)
      await watching.catch(() => undefined)
    },
  }
}

/** Waits for the end, and ends the execution itself when it takes more memory than it may. */
async function watch({ workdir, process, limits, pollMs }: ExecutionArgs): Promise<Outcome> {
  const wasSeen = isRunning(process)
  while (isRunning(process)) {
    const used = limits.memoryBytes > 0 ? await residentBytes(process.pid) : 0
    if (used > limits.memoryBytes) {
      const fact = { kind: 'memory', usedBytes: used, limitBytes: limits.memoryBytes }
      await replaceFile(join(workdir, MEMORY_FILE), JSON.stringify(fact))
      // No time to write anything more: memory would go on growing meanwhile.
      await endGroup(process, 0)
      break
    }
    await sleep(pollMs)
  }
  // What it started may outlive it. A group that was never seen alive may be somebody else's by now.
  if (wasSeen) signalGroup(process.pid, 'SIGKILL')
  return readOutcome(workdir)
}

async function readOutcome(workdir: string): Promise<Outcome> {
  const memory = await readText(join(workdir, MEMORY_FILE))
  if (memory) return JSON.parse(memory) as Outcome
  const code = Number.parseInt((await readText(join(workdir, EXIT_FILE))) ?? '', 10)
  return Number.isNaN(code) ? { kind: 'lost' } : { kind: 'exited', code }
}

async function endGroup(process: ProcessId, graceMs: number): Promise<void> {
  if (isRunning(process) && graceMs > 0) {
    signalGroup(process.pid, 'SIGTERM')
    await waitGone(process, graceMs)
  }
  if (!isRunning(process)) return
  signalGroup(process.pid, 'SIGKILL')
  await waitGone(process, 2000)
}

/** The recorded process; the file holds a line of /proc/<pid>/stat, or where there is none the number alone. */
async function readProcess(workdir: string): Promise<ProcessId | undefined> {
  const text = await readText(join(workdir, PROCESS_FILE))
  if (text === undefined) return undefined
  const pid = Number.parseInt(text, 10)
  if (Number.isNaN(pid) || pid <= 1) return undefined
  const bracket = text.lastIndexOf(')')
  return { pid, started: bracket < 0 ? null : (text.slice(bracket + 2).split(' ')[19] ?? null) }
}

async function waitForProcess(workdir: string, pid: number): Promise<ProcessId> {
  for (let i = 0; i < 200; i++) {
    const found = await readProcess(workdir)
    if (found?.pid === pid) return found
    await sleep(10)
  }
  signalGroup(pid, 'SIGKILL')
  throw new Error(`the process in ${workdir} did not start: is the folder writable?`)
}

async function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined)
}

async function replaceFile(path: string, text: string): Promise<void> {
  await writeFile(`${path}.tmp`, text)
  await rename(`${path}.tmp`, path)
}
