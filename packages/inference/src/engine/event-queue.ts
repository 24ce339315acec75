// SPDX-License-Identifier: Apache-2.0

/** Events from a callback side to one reader. */
export interface EventQueue<T> {
  push(event: T): void
  end(): void
  /** The reader sees what came before, then this error. */
  fail(err: unknown): void
  read(): AsyncGenerator<T, void, undefined>
}

export function eventQueue<T>(): EventQueue<T> {
  const events: T[] = []
  let over: { err?: unknown } | undefined
  let wake = () => {}
  const close = (how: { err?: unknown }) => {
    over ??= how
    wake()
  }
  return {
    push(event) {
      if (over) return
      events.push(event)
      wake()
    },
    end: () => close({}),
    fail: (err) => close({ err }),
    async *read() {
      for (;;) {
        while (events.length > 0) yield events.shift() as T
        if (over) {
          if ('err' in over) throw over.err
          return
        }
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
  }
}
