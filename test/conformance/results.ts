// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { commit, machine, ROOT, type Row } from '../../bench/lib.ts'
import type { Score } from './score.ts'

/** Writes bench/results/conformance.json: a row for each service, operations passed of all. */
export function writeResults(scores: Score[]): void {
  const rows: (Row & { refused: number })[] = scores.map(({ service, passed, refused, total }) => ({
    name: `conformance.${service}`,
    value: passed.length,
    unit: 'operations',
    target: total,
    ratio: Number((passed.length / total).toFixed(3)),
    refused: refused.length,
  }))
  const folder = join(ROOT, 'bench/results')
  mkdirSync(folder, { recursive: true })
  const results = { machine: machine(), commit: commit(), rows }
  writeFileSync(join(folder, 'conformance.json'), `${JSON.stringify(results, null, 2)}\n`)
}
