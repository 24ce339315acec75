// SPDX-License-Identifier: Apache-2.0

/** Work to run outside of this process, in a folder of its own that holds its input and takes its output. */
export interface ExecutionSpec {
  /** Names the execution; there is at most one alive for an id. */
  id: string
  /** Exists already, with the work's input in it. */
  workdir: string
  /** Program and arguments. */
  command: readonly string[]
  env: Record<string, string>
  limits: ExecutionLimits
}

export interface ExecutionLimits {
  /** Resident memory of all its processes together; going over it ends the execution. 0 means no limit. */
  memoryBytes: number
}

/** How an execution ended. */
export type Outcome =
  | { kind: 'exited'; code: number }
  /** It went over its memory limit, and was ended for it. */
  | { kind: 'memory'; usedBytes: number; limitBytes: number }
  /** It never ran, or not to its end, and trying again does not help: no such image, no room, out of time. */
  | { kind: 'refused'; reason: string }
  /** It is gone and left no exit code: killed from outside, or the machine went down. */
  | { kind: 'lost' }

/** One line of an execution's event log, and where to go on reading. */
export interface ExecutionEvent {
  value: Record<string, unknown>
  /** Bytes of the log up to and with this line; give it to `events` to go on after it. */
  offset: number
}

export interface Execution {
  readonly id: string
  /** The events from `offset` on as they come; ends once the execution has ended and all are read. */
  events(offset: number, signal?: AbortSignal): AsyncIterable<ExecutionEvent[]>
  /** How it ended; waits until then. */
  outcome(): Promise<Outcome>
  /** Tells why it has not begun yet, each time the reason changes, until `signal` is aborted or it has ended. */
  waiting?(tell: (reason: string) => void, signal: AbortSignal): Promise<void>
  /** Asks it to stop, then forces it after `graceMs`. Resolves once nothing of it runs any more. */
  stop(graceMs?: number): Promise<void>
}

/**
 * Runs work in processes, or in pods: the caller sees the same. An execution outlives the process that started it,
 * so that after a crash it is found again by its id.
 */
export interface Executor {
  /** Whether executions go on, and are looked after, while this process is down: it need not stop them then. */
  readonly isApart?: boolean
  start(spec: ExecutionSpec): Promise<Execution>
  /** The execution of this id in `workdir`, running or ended; undefined when none was started there. */
  attach(ref: { id: string; workdir: string; limits: ExecutionLimits }): Promise<Execution | undefined>
  /** Ends whatever runs in `workdir` and forgets how it ended, so that it can be started again. */
  clear(ref: { id: string; workdir: string }): Promise<void>
  /** The last `maxBytes` of what its programs wrote. */
  log(ref: { id: string; workdir: string }, maxBytes: number): Promise<string>
}
