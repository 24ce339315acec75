// SPDX-License-Identifier: Apache-2.0
import { existsSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import type { NerEntity } from '../engine/compiled.ts'
import { type Job, type Looking, look } from './look.ts'
import type { Pattern } from './python.ts'

/** Looks through texts within a time limit, where a hostile text or pattern could take for ever. */
export interface RegexGuard {
  /** Indexes of the user's patterns that occur in the text. Throws RegexTimeout. */
  test(patterns: readonly Pattern[], text: string): Promise<number[]>
  /** Places of each of the user's patterns in the text: [pattern, start, end]. Throws RegexTimeout. */
  find(patterns: readonly Pattern[], text: string): Promise<[number, number, number][]>
  /** Names of the injection rules that the text triggers. Throws RegexTimeout. */
  injections(kinds: readonly string[], text: string): Promise<string[]>
  /** The text without what the injection rules match. Throws RegexTimeout. */
  withoutInjections(kinds: readonly string[], text: string): Promise<string>
  /** Entities that the engine's own recognisers and word lists find. Throws RegexTimeout. */
  entities(entities: readonly string[], threshold: number, text: string): Promise<NerEntity[]>
  close(): Promise<void>
}

/** A pattern took too long on a text. */
export class RegexTimeout extends Error {
  override name = 'RegexTimeout'
  constructor(limitMs: number) {
    super(`the patterns took longer than ${limitMs} ms on this text`)
  }
}

type Answer = { id: number; started: true } | { id: number; result: unknown } | { id: number; error: string }

interface Waiting {
  job: Job
  resolve: (value: never) => void
  reject: (err: Error) => void
}

/** Patterns without any repetition cannot take long and need no thread: the common list of words. */
const REPEATS = /[*+{?]|\\[1-9k]/

/** Texts up to this length are looked through on the spot by the engine's own rules, whose time is linear. */
const ON_THE_SPOT = 20_000
/** Time for long texts, and for the engine's own rules. */
const BULK_MS = 5000

/** Makes a guard with two threads, each started when first needed: one for the user's patterns, one for long texts. */
export function createRegexGuard(options: { limitMs?: number } = {}): RegexGuard {
  const quick = createLane(options.limitMs ?? 200)
  const bulk = createLane(BULK_MS)
  const own = async <T>(looking: Looking): Promise<T> =>
    looking.text.length <= ON_THE_SPOT ? (look(looking) as T) : bulk.run<T>(looking)
  return {
    async test(patterns, text) {
      const looking = { kind: 'test', patterns, text } as const
      return patterns.every((p) => !REPEATS.test(p.source)) ? own(looking) : quick.run(looking)
    },
    find: (patterns, text) => quick.run({ kind: 'find', patterns, text }),
    injections: (kinds, text) => own({ kind: 'injections', kinds, text }),
    withoutInjections: (kinds, text) => own({ kind: 'omit', kinds, text }),
    entities: (entities, threshold, text) => own({ kind: 'entities', entities, threshold, text }),
    close: async () => void (await Promise.all([quick.close(), bulk.close()])),
  }
}

interface Lane {
  run<T>(looking: Looking): Promise<T>
  close(): Promise<void>
}

/** A thread that works on one text after the other, and is started again after it had to be stopped. */
function createLane(limitMs: number): Lane {
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

  return {
    run: <T>(looking: Looking) =>
      new Promise<T>((resolve, reject) => {
        const job: Job = { id: ++lastId, looking }
        queue.push({ job, resolve: resolve as Waiting['resolve'], reject })
        if (queue.length === 1) next()
      }),
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
