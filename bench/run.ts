// SPDX-License-Identifier: Apache-2.0
// `npm run bench -- <name>`: runs one benchmark and writes bench/results/<name>.json.
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Bench, commit, machine, ROOT } from './lib.ts'

const BENCHES: Record<string, () => Promise<{ bench: Bench }>> = {
  start: () => import('./start.ts'),
  'entity-store': () => import('./entity-store.ts'),
  'data-store': () => import('./data-store.ts'),
  engine: () => import('./engine.ts'),
  proxy: () => import('./proxy.ts'),
  guardrails: () => import('./guardrails.ts'),
  'guardrails-recall': () => import('./guardrails-recall.ts'),
  'guardrails-oracle': () => import('./guardrails-oracle.ts'),
  trainer: () => import('./trainer.ts'),
  flywheel: () => import('./flywheel.ts'),
  evaluator: () => import('./evaluator.ts'),
  operator: () => import('./operator.ts'),
  charts: () => import('./charts.ts'),
}

const name = process.argv[2] ?? ''
const load = BENCHES[name]
if (!load) {
  console.error(`usage: npm run bench -- <${Object.keys(BENCHES).join('|')}>`)
  process.exit(2)
}
const { bench } = await load()
const conditions = { machine: machine(), commit: commit() }
const rows = await bench.run()
const results = { ...conditions, rows }
const dir = join(ROOT, 'bench', 'results')
await mkdir(dir, { recursive: true })
await writeFile(join(dir, `${name}.json`), `${JSON.stringify(results, null, 2)}\n`)
for (const row of rows) {
  const peer = row.peer === undefined ? '' : `, ${row.peer} ${row.peer_value}, ratio ${row.ratio}`
  console.log(`${row.name} ${row.value} ${row.unit}${row.target ? ` (target ${row.target})` : ''}${peer}`)
}
