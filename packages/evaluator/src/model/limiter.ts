// SPDX-License-Identifier: Apache-2.0

/** Lets at most `width` works run at a time; the others wait in their order. */
export function createLimiter(width: number): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0
  const waiting: (() => void)[] = []
  return async (work) => {
    if (running >= width) await new Promise<void>((resolve) => waiting.push(resolve))
    else running++
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      // The slot is handed on, so that nobody takes it in between.
      if (next) next()
      else running--
    }
  }
}
