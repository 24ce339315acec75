// SPDX-License-Identifier: Apache-2.0

/** How often a line is written where lines cannot be overwritten. */
const PLAIN_INTERVAL_MS = 5_000

export interface LiveLine {
  /** Replaces the line on a terminal; elsewhere writes it, not more often than every 5 s unless `important`. */
  update(text: string, important?: boolean): void
  /** Ends the line, so that what follows stands below it. */
  end(): void
}

/** One line that is kept up to date. */
export function liveLine(out: { isTTY?: boolean; columns?: number; write(text: string): unknown }): LiveLine {
  let shown = ''
  let at = 0
  return {
    update(text, important = false) {
      if (text === shown) return
      if (out.isTTY) {
        out.write(`\r\u001b[K${text.slice(0, (out.columns ?? 80) - 1)}`)
      } else {
        if (!important && Date.now() - at < PLAIN_INTERVAL_MS) return
        out.write(`${text}\n`)
        at = Date.now()
      }
      shown = text
    },
    end() {
      if (out.isTTY && shown !== '') out.write('\n')
      shown = ''
    },
  }
}
