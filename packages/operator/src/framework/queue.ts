// SPDX-License-Identifier: Apache-2.0

const FIRST_RETRY_MS = 200
const LAST_RETRY_MS = 60_000

export interface WorkQueue {
  /** Works on a key soon; several calls before its turn count as one. */
  add(key: string): void
  addAfter(key: string, ms: number): void
  /** Works on it again after a time that doubles with each failure. */
  retry(key: string): void
  /** Forgets the failures of a key. */
  succeed(key: string): void
  readonly depth: number
  /** Takes no more work and waits for what is under way. */
  stop(): Promise<void>
}

/** Runs `work` for keys: never twice at once for one key, and at most `workers` at a time. */
export function createQueue(work: (key: string) => Promise<void>, workers: number): WorkQueue {
  const waiting = new Set<string>()
  const running = new Set<string>()
  const timers = new Map<string, { timer: NodeJS.Timeout; due: number }>()
  const failures = new Map<string, number>()
  const underWay = new Set<Promise<void>>()
  let stopped = false

  const pump = () => {
    for (const key of waiting) {
      if (stopped || running.size >= workers) return
      // Changed while being worked on: its turn comes again afterwards.
      if (running.has(key)) continue
      waiting.delete(key)
      running.add(key)
      const job = work(key).finally(() => {
        running.delete(key)
        underWay.delete(job)
        pump()
      })
      underWay.add(job)
    }
  }
  const add = (key: string) => {
    if (stopped) return
    waiting.add(key)
    pump()
  }
  const addAfter = (key: string, ms: number) => {
    const due = Date.now() + ms
    const set = timers.get(key)
    if (stopped || (set && set.due <= due)) return
    clearTimeout(set?.timer)
    const timer = setTimeout(() => {
      timers.delete(key)
      add(key)
    }, ms)
    timers.set(key, { timer, due })
  }
  return {
    add,
    addAfter,
    retry(key) {
      const n = failures.get(key) ?? 0
      failures.set(key, n + 1)
      const ms = Math.min(FIRST_RETRY_MS * 2 ** Math.min(n, 16), LAST_RETRY_MS)
      addAfter(key, ms * (0.75 + Math.random() / 2))
    },
    succeed: (key) => void failures.delete(key),
    get depth() {
      return waiting.size
    },
    async stop() {
      stopped = true
      for (const { timer } of timers.values()) clearTimeout(timer)
      timers.clear()
      waiting.clear()
      await Promise.allSettled(underWay)
    },
  }
}
