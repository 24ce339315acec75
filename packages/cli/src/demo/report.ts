// SPDX-License-Identifier: Apache-2.0
import type { Scores } from './evaluate.ts'

/** A held-out message with its reference and what both models said. */
export interface Answered {
  question: string
  reference: string
  base: string
  tuned: string
}

export interface Comparison {
  base: Scores
  tuned: Scores
}

/** Better means: a mean F1 that is higher by more than the standard errors of both, so that chance does not decide. */
export function isBetter({ base, tuned }: Comparison): boolean {
  return tuned.f1 - base.f1 > tuned.f1Error + base.f1Error
}

const SCORE_ROWS = [
  ['token-F1', 'f1'],
  ['ROUGE-L', 'rougeL'],
  ['exact match', 'exact'],
  ['contains reference', 'contains'],
] as const

/** The scores of both models as a table. */
export function scoreTable({ base, tuned }: Comparison): string {
  const rows = SCORE_ROWS.map(([label, key]) => [label, base[key].toFixed(3), tuned[key].toFixed(3)])
  return table([['', 'base', 'tuned'], ...rows], [20, 8, 8])
}

/** Some answers side by side, in columns that fit `width`. */
export function answersTable(rows: Answered[], width: number): string {
  const room = Math.max(60, width) - 6
  const columns = [0.36, 0.18, 0.28, 0.18].map((part) => Math.floor(part * room))
  const cells = rows.map((row) => [lastLine(row.question), row.reference, row.base, row.tuned])
  return table([['message', 'reference', 'base', 'tuned'], ...cells], columns)
}

function table(rows: string[][], widths: number[]): string {
  const line = (cells: string[]) =>
    cells
      .map((cell, i) => fit(cell, widths[i] ?? 10))
      .join('  ')
      .trimEnd()
  const [head = [], ...body] = rows
  return [line(head), widths.map((w) => '─'.repeat(w)).join('  '), ...body.map(line)].join('\n')
}

/** The message itself; what stands above it is the same in every row. */
function lastLine(text: string): string {
  return text.split('\n').at(-1) ?? ''
}

function fit(text: string, width: number): string {
  const flat = text.replaceAll(/\s+/g, ' ')
  const characters = [...flat]
  return characters.length <= width
    ? flat + ' '.repeat(width - characters.length)
    : `${characters.slice(0, width - 1).join('')}…`
}
