// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { Pattern } from './python.ts'

/** Runs regular expressions that users wrote, which may take for ever on some texts, within a time limit. */
export interface RegexGuard {
  /** Indexes of the patterns that occur in the text. Throws RegexTimeout. */
  test(patterns: readonly Pattern[], text: string): Promise<number[]>
  /** Places of each pattern in the text: [pattern, start, end]. Throws RegexTimeout. */
  find(patterns: readonly Pattern[], text: string): Promise<[number, number, number][]>
  close(): Promise<void>
}

/** A pattern took too long on a text. */
export class RegexTimeout extends Error {
  override name = 'RegexTimeout'
  constructor(limitMs: number) {
    super(`the patterns took longer than ${limitMs} ms on this text`)
  }
}

interface Job {
  id: number
  kind: 'test' | 'find'
  patterns: readonly Pattern[]
  text: string
}
type Answer = { id: number; started: true } | { id: number; result: unknown } | { id: number; error: string }

interface Waiting {
  job: Job
  resolve: (value: never) => void
  reject: (err: Error) => void
}

/** Patterns without any repetition cannot take long and need no thread: the common list of words. */
const REPEATS = /[*+{?]|\\[1-9k]/

/** Makes a guard with one thread, started when it is first needed and again after a pattern had to be stopped. */
export function createRegexGuard(options: { limitMs?: number } = {}): RegexGuard {
  const limitMs = options.limitMs ?? 200
  let worker: Worker | undefined
  let timer: NodeJS.Timeout | undefined
  let lastId = 0
  const queue: Waiting[] = []

  function next(): void {
    clearTimeout(timer)
    const [first] = queue
    if (!first) {
      worker?.unref()
      return
    }
    worker ??= start()
    worker.ref()
    worker.postMessage(first.job)
  }

  function start(): Worker {
    const made = new Worker(workerFile())
    made.on('message', (answer: Answer) => {
      const [first] = queue
      if (made !== worker || !first || answer.id !== first.job.id) return
      // The clock starts when the thread does, not while it is being made.
      if ('started' in answer) {
        timer = setTimeout(() => fail(new RegexTimeout(limitMs)), limitMs)
        return
      }
      queue.shift()
      if ('error' in answer) first.reject(new Error(answer.error))
      else first.resolve(answer.result as never)
      next()
    })
    made.on('error', (err) => {
      if (made === worker) fail(err instanceof Error ? err : new Error(String(err)))
    })
    return made
  }

  function fail(err: Error): void {
    void worker?.terminate()
    worker = undefined
    queue.shift()?.reject(err)
    next()
  }

  function run<T>(kind: Job['kind'], patterns: readonly Pattern[], text: string): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const job: Job = { id: ++lastId, kind, patterns, text }
      queue.push({ job, resolve: resolve as Waiting['resolve'], reject })
      if (queue.length === 1) next()
    })
  }

  return {
    async test(patterns, text) {
      if (patterns.every((p) => !REPEATS.test(p.source)))
        return patterns.flatMap((p, i) => (new RegExp(p.source, p.flags).test(text) ? [i] : []))
      return run('test', patterns, text)
    },
    find: (patterns, text) => run('find', patterns, text),
    async close() {
      clearTimeout(timer)
      for (const { reject } of queue.splice(0)) reject(new Error('the regex guard is closed'))
      await worker?.terminate()
      worker = undefined
    },
  }
}

/** The thread's file lies beside this one, as TypeScript or compiled. */
function workerFile(): URL {
  const source = new URL('./worker.ts', import.meta.url)
  return existsSync(source) ? source : new URL('./worker.js', import.meta.url)
}
