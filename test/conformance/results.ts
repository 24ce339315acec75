// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { root } from '../../tools/test-tiers/command.ts'
import type { Score } from './score.ts'

/** Writes bench/results/conformance.json: a row for each service, operations passed of all. */
export function writeResults(scores: Score[]): void {
  const commit = execFileSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim()
  const machine = {
    os: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memory_gb: Math.round(totalmem() / 1e9),
    node: process.versions.node,
  }
  const rows = scores.map(({ service, passed, refused, total }) => ({
    name: `conformance.${service}`,
    value: passed.length,
    unit: 'operations',
    target: total,
    ratio: Number((passed.length / total).toFixed(3)),
    refused: refused.length,
  }))
  const folder = join(root, 'bench/results')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'conformance.json'), `${JSON.stringify({ machine, commit, rows }, null, 2)}\n`)
}
