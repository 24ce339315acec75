// SPDX-License-Identifier: Apache-2.0
// `npm run kill [-- N [SEED]]`: kills the platform, the engine and the trainer N times (200 unless given) under load.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../../tools/test-tiers/command.ts'
import { killMatrix } from './matrix.ts'

const count = Number(process.argv[2] ?? 200)
const seed = Number(process.argv[3] ?? Date.now() % 1e9)
if (!(count > 0) || !Number.isFinite(seed)) {
  console.error('usage: npm run kill -- [NUMBER_OF_KILLS [SEED]]')
  process.exit(1)
}
const dir = await mkdtemp(join(tmpdir(), 'nemo-kill-'))
console.log(`${count} kills with seed ${seed} in ${dir}`)
const report = await killMatrix({ dir, count, seed, tell: (line) => console.log(`  ${line}`) })
console.log(JSON.stringify(report, null, 2))
if (report.problems.length > 0) {
  console.log(`the data is left in ${dir}`)
  process.exitCode = 1
} else {
  await rm(dir, { recursive: true, force: true })
}
// A short run is a try; what is kept is one that is long enough to mean something.
if (count >= 200)
  await writeFile(join(root, 'bench/results/kill.json'), `${JSON.stringify(report, null, 2)}\n`)
