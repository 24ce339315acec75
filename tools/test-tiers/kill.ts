// SPDX-License-Identifier: Apache-2.0
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { killMatrix } from '../../test/kill/matrix.ts'
import type { Report } from './report.ts'

/** `npm run kill -- 200` does more. */
const KILLS = 10

/** NEMO_SLOW=1: kills under load, with a seed of their own each time; KILL_SEED repeats one. */
export async function kill(report: Report): Promise<void> {
  const name = `kill matrix: ${KILLS} kills`
  if (process.env.NEMO_SLOW !== '1') {
    report.add({ name, outcome: 'skipped', reason: 'NEMO_SLOW=1 runs the slow tests' })
    return
  }
  if (process.platform !== 'linux') {
    report.add({ name, outcome: 'skipped', reason: 'it looks for processes in /proc' })
    return
  }
  const dir = await mkdtemp(join(tmpdir(), 'nemo-kill-'))
  const seed = Number(process.env.KILL_SEED ?? Date.now() % 1e9)
  try {
    const run = await killMatrix({ dir, count: KILLS, seed, tell: (line) => console.log(`  ${line}`) })
    const detail = `seed ${seed}\n${run.problems.join('\n')}`
    report.add(run.problems.length === 0 ? { name, outcome: 'passed' } : { name, outcome: 'failed', detail })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}
