// SPDX-License-Identifier: Apache-2.0

/** Most characters that a template may render to. */
export const MAX_OUTPUT = 4 * 1024 * 1024

/** A template to render (without a context it is only parsed), or a regular expression to look for in a text. */
export type ToChild = { id: number } & (
  | { template: string; context?: Record<string, unknown> }
  | { pattern: string; flags: string; text: string }
)

export interface FromChild {
  id: number
  text?: string
  /** What a regular expression found: the whole, then its groups; null when it found nothing. */
  match?: (string | null)[] | null
  error?: string
}
