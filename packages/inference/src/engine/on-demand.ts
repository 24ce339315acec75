// SPDX-License-Identifier: Apache-2.0
import { type Engine, EngineError, type EngineEvent } from './types.ts'

export interface Residency {
  /** An engine that is started when it is asked for, and ended when it has been idle or another needs its place. */
  engine(start: () => Engine): Engine
  stop(): Promise<void>
}

interface Resident {
  start: () => Engine
  running: Engine | undefined
  /** Requests that hold it. */
  users: number
  lastUsed: number
}

/** Longest that a request waits for an engine to load that was just started for it. */
const LOAD_MS = 600_000

/** Keeps at most `most` engines running, each of which has a whole model in memory; none idle for `idleMs`. */
export function createResidency(limits: { most: number; idleMs: number }): Residency {
  const residents = new Set<Resident>()
  const waiting = new Set<() => void>()
  const ending = new Set<Promise<void>>()
  const running = () => [...residents].filter((each) => each.running)

  async function end(resident: Resident): Promise<void> {
    const { running: engine } = resident
    resident.running = undefined
    // Its memory is free only once the process has ended.
    const ended = engine?.stop() ?? Promise.resolve()
    ending.add(ended)
    try {
      await ended
    } finally {
      ending.delete(ended)
    }
  }

  /** Starts it unless it runs, in place of the one that was idle longest; waits while all others work. */
  async function hold(resident: Resident, deadline: number, signal?: AbortSignal): Promise<Engine> {
    for (;;) {
      signal?.throwIfAborted()
      if (resident.running) break
      const others = running()
      if (others.length + ending.size < limits.most) {
        resident.running = resident.start()
        break
      }
      if (ending.size > 0) {
        await Promise.race(ending)
        continue
      }
      const idle = others.filter((each) => each.users === 0).sort((a, b) => a.lastUsed - b.lastUsed)[0]
      if (idle) await end(idle)
      else await roomMade(deadline)
    }
    resident.users++
    return resident.running
  }

  function release(resident: Resident): void {
    resident.users--
    resident.lastUsed = Date.now()
    if (resident.users === 0) for (const wake of waiting) wake()
  }

  function roomMade(deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (act: () => void) => {
        clearTimeout(late)
        waiting.delete(wake)
        act()
      }
      const wake = () => leave(resolve)
      const late = setTimeout(
        () => leave(() => reject(new EngineError('loading', 'all places for tuned models are at work'))),
        Math.max(0, deadline - Date.now()),
      )
      waiting.add(wake)
    })
  }

  const sweep = setInterval(
    () => {
      const since = Date.now() - limits.idleMs
      for (const each of running()) if (each.users === 0 && each.lastUsed < since) void end(each)
    },
    Math.min(30_000, Math.max(50, limits.idleMs / 4)),
  )
  sweep.unref()

  function engine(start: () => Engine): Engine {
    const resident: Resident = { start, running: undefined, users: 0, lastUsed: Date.now() }
    residents.add(resident)

    async function* through<T extends EngineEvent>(
      work: (engine: Engine) => AsyncGenerator<T, void, undefined>,
      signal: AbortSignal,
    ): AsyncGenerator<T, void, undefined> {
      const held = await hold(resident, Date.now() + LOAD_MS, signal)
      try {
        await held.ready(LOAD_MS)
        yield* work(held)
      } finally {
        release(resident)
      }
    }
    async function once<T>(work: (engine: Engine) => Promise<T>): Promise<T> {
      const held = await hold(resident, Date.now() + LOAD_MS)
      try {
        await held.ready(LOAD_MS)
        return await work(held)
      } finally {
        release(resident)
      }
    }

    return {
      state: () => resident.running?.state() ?? { status: 'idle' },
      ready: async (timeoutMs) => {
        const deadline = Date.now() + timeoutMs
        const held = await hold(resident, deadline)
        try {
          return await held.ready(Math.max(0, deadline - Date.now()))
        } finally {
          release(resident)
        }
      },
      generate: (request, signal) => through((held) => held.generate(request, signal), signal),
      embed: (inputs, signal) => once((held) => held.embed(inputs, signal)),
      rank: (request, signal) => once((held) => held.rank(request, signal)),
      tokenize: (request, signal) => once((held) => held.tokenize(request, signal)),
      unload: (key) => resident.running?.unload(key),
      stop: async () => {
        residents.delete(resident)
        await end(resident)
        for (const wake of waiting) wake()
      },
    }
  }

  return {
    engine,
    stop: async () => {
      clearInterval(sweep)
      await Promise.all([...residents].map(end))
      await Promise.all(ending)
    },
  }
}
