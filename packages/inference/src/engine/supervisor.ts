// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type EventQueue, eventQueue } from './event-queue.ts'
import type { FromWorker, LoadOptions, ToWorker } from './protocol.ts'
import {
  type Engine,
  EngineError,
  type EngineEvent,
  type EngineState,
  type GenerateEvent,
  type GenerateRequest,
  type LoadedModel,
  type Ranked,
  type RankRequest,
  type Tokenized,
  type TokenizeRequest,
} from './types.ts'

export interface SupervisorOptions {
  /** Fetches the weights when they are not there; `say` reports progress for people. */
  locate: (say: (message: string) => void) => Promise<LoadOptions>
  log: {
    info(o: object, m: string): void
    warn(o: object, m: string): void
    error(o: object, m: string): void
  }
  /** Program of the child process; tests give their own. */
  workerFile?: string
  backoffMs?: { first: number; max: number }
}

const WORKER = fileURLToPath(new URL('./worker/main.ts', import.meta.url))
/** A worker that answered for this long is healthy again: the next crash starts with the shortest wait. */
const HEALTHY_MS = 60_000
const LAST_EVENTS: ReadonlySet<EngineEvent['type']> = new Set(['end', 'vectors', 'ranked', 'tokenized'])

/**
 * Runs the engine in a child process and keeps it running: when it ends, requests in flight fail with `crashed` and
 * a new one is started after a pause that doubles from crash to crash.
 */
export function startEngine(options: SupervisorOptions): Engine {
  const backoff = options.backoffMs ?? { first: 500, max: 30_000 }
  const requests = new Map<number, EventQueue<EngineEvent>>()
  const readyWaiters = new Set<() => void>()
  let state: EngineState = { status: 'loading', message: 'the engine starts' }
  let child: ChildProcess | undefined
  let timer: NodeJS.Timeout | undefined
  let nextId = 1
  let crashes = 0
  let readySince = 0
  let stopped = false

  const set = (next: EngineState) => {
    state = next
    for (const wake of readyWaiters) wake()
  }
  const post = (message: ToWorker) => {
    if (child?.connected) child.send(message, () => undefined)
  }

  async function begin(): Promise<void> {
    try {
      const load = await options.locate((message) => set({ status: 'loading', message }))
      if (stopped) return
      spawn(load)
    } catch (err) {
      options.log.error({ err }, 'the model cannot be fetched')
      retry(`the model cannot be fetched: ${err instanceof Error ? err.message : err}`)
    }
  }

  function spawn(load: LoadOptions): void {
    // Only what the engine needs; keys and tokens of the platform stay here.
    const { PATH, HOME, TMPDIR, LANG, LD_LIBRARY_PATH } = process.env
    const started = fork(options.workerFile ?? WORKER, [], {
      execArgv: ['--no-warnings'],
      env: { PATH, HOME, TMPDIR, LANG, LD_LIBRARY_PATH },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    child = started
    let words = ''
    let failure: string | undefined
    started.stderr?.on('data', (chunk: Buffer) => {
      words = (words + chunk.toString('utf8')).slice(-4000)
    })
    started.on('message', (message: FromWorker) => {
      if (message.t === 'load_failed') {
        failure = message.message
        started.kill('SIGKILL')
      } else receive(message)
    })
    started.on('error', (err) => options.log.error({ err }, 'engine process'))
    started.once('exit', (code, signal) => {
      if (child === started) child = undefined
      ended(failure ?? `the engine ended (${signal ?? `exit ${code}`})`, words)
    })
    post({ t: 'load', options: load })
    set({ status: 'loading', message: 'the model is being loaded' })
  }

  function ended(reason: string, words: string): void {
    for (const queue of requests.values()) queue.fail(new EngineError('crashed', reason))
    requests.clear()
    if (stopped) return
    options.log.error({ reason, stderr: words || undefined }, 'engine process ended')
    if (readySince && Date.now() - readySince > HEALTHY_MS) crashes = 0
    readySince = 0
    retry(reason)
  }

  function retry(reason: string): void {
    if (stopped) return
    const wait = Math.min(backoff.max, backoff.first * 2 ** crashes++)
    const message = `${reason}; next try in ${Math.ceil(wait / 1000)} s`
    set({ status: crashes > 3 ? 'failed' : 'restarting', message })
    timer = setTimeout(() => void begin(), wait)
  }

  function receive(message: Exclude<FromWorker, { t: 'load_failed' }>): void {
    if (message.t === 'progress') {
      set({
        status: 'loading',
        message: `the model is being loaded: ${Math.round(message.fraction * 100)} %`,
      })
    } else if (message.t === 'loaded') {
      readySince = Date.now()
      options.log.info({ model: message.model }, 'engine ready')
      set({ status: 'ready', model: message.model })
    } else if (message.t === 'log') {
      options.log[message.level]({ engine: message.message }, 'engine says')
    } else if (message.t === 'event') {
      const queue = requests.get(message.id)
      queue?.push(message.event)
      if (LAST_EVENTS.has(message.event.type)) finish(message.id, queue)
    } else {
      const { id, code, message: text, details } = message
      requests.get(id)?.fail(new EngineError(code, text, details))
      requests.delete(id)
    }
  }

  function finish(id: number, queue: EventQueue<EngineEvent> | undefined): void {
    queue?.end()
    requests.delete(id)
  }

  function ready(timeoutMs: number): Promise<LoadedModel> {
    return new Promise((resolve, reject) => {
      const check = () => {
        if (state.status === 'ready') settle(() => resolve((state as { model: LoadedModel }).model))
        else if (state.status === 'stopped') settle(() => reject(new EngineError('stopped', 'it stops')))
      }
      const late = setTimeout(() => {
        const message = 'message' in state ? state.message : state.status
        settle(() => reject(new EngineError('loading', message)))
      }, timeoutMs)
      const settle = (act: () => void) => {
        clearTimeout(late)
        readyWaiters.delete(check)
        act()
      }
      readyWaiters.add(check)
      check()
    })
  }

  type Work =
    | { t: 'generate'; request: GenerateRequest }
    | { t: 'embed'; inputs: number[][] }
    | { t: 'rank'; request: RankRequest }
    | { t: 'tokenize'; request: TokenizeRequest }

  async function* ask(work: Work, signal: AbortSignal): AsyncGenerator<EngineEvent, void, undefined> {
    signal.throwIfAborted()
    if (state.status !== 'ready') {
      throw new EngineError('loading', 'message' in state ? state.message : state.status)
    }
    const id = nextId++
    const queue = eventQueue<EngineEvent>()
    requests.set(id, queue)
    const leave = () => queue.fail(signal.reason)
    signal.addEventListener('abort', leave, { once: true })
    post({ ...work, id })
    try {
      yield* queue.read()
    } finally {
      signal.removeEventListener('abort', leave)
      // Still known means that it has not ended by itself: the caller hung up.
      if (requests.delete(id)) post({ t: 'abort', id })
    }
  }

  async function embed(inputs: number[][], signal: AbortSignal): Promise<string[]> {
    for await (const event of ask({ t: 'embed', inputs }, signal)) {
      if (event.type === 'vectors') return event.vectors
    }
    throw new EngineError('internal', 'the engine gave no vectors')
  }

  async function rank(request: RankRequest, signal: AbortSignal): Promise<Ranked> {
    for await (const event of ask({ t: 'rank', request }, signal)) {
      if (event.type === 'ranked') return event.value
    }
    throw new EngineError('internal', 'the engine gave no scores')
  }

  async function tokenize(request: TokenizeRequest, signal: AbortSignal): Promise<Tokenized> {
    for await (const event of ask({ t: 'tokenize', request }, signal)) {
      if (event.type === 'tokenized') return event.value
    }
    throw new EngineError('internal', 'the engine gave no tokens')
  }

  void begin()
  return {
    state: () => state,
    ready,
    generate: (request, signal) =>
      ask({ t: 'generate', request }, signal) as AsyncGenerator<GenerateEvent, void, undefined>,
    embed,
    rank,
    tokenize,
    unload: (key) => post({ t: 'unload', key }),
    stop: async () => {
      stopped = true
      clearTimeout(timer)
      set({ status: 'stopped' })
      const last = child
      if (!last) return
      await new Promise<void>((resolve) => {
        last.once('exit', () => resolve())
        last.kill('SIGKILL')
      })
    },
  }
}
