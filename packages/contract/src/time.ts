// SPDX-License-Identifier: Apache-2.0
let last = 0

/**
 * The time now as the control services write it: naive UTC with microseconds, `2025-06-20T03:56:39.457820`.
 * Strictly increasing within a process, so that sorting by it keeps the order of creation.
 */
export function nowMicros(): string {
  const micros = Math.max(last + 1, Math.floor((performance.timeOrigin + performance.now()) * 1000))
  last = micros
  const ms = Math.floor(micros / 1000)
  const rest = String(micros % 1000).padStart(3, '0')
  return new Date(ms).toISOString().slice(0, -1) + rest
}

/** The time now, or of `date`, as the data store writes it: `2025-06-20T03:56:39Z`. */
export function nowSeconds(date: Date = new Date()): string {
  return `${date.toISOString().slice(0, 19)}Z`
}
