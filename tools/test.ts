// SPDX-License-Identifier: Apache-2.0
// `npm test`. Tiers: NEMO_TEST_TIERS=lint,conformance,… picks some; a machine that cannot run one says so.
import { cluster } from './test-tiers/cluster.ts'
import { conformance } from './test-tiers/conformance.ts'
import { hostile } from './test-tiers/hostile.ts'
import { kill } from './test-tiers/kill.ts'
import { labTools } from './test-tiers/lab-tools.ts'
import { lint } from './test-tiers/lint.ts'
import { postgres } from './test-tiers/postgres.ts'
import { consoleReport, type Report } from './test-tiers/report.ts'
import { slow } from './test-tiers/slow.ts'
import { trainer } from './test-tiers/trainer.ts'
import { unit } from './test-tiers/unit.ts'

// Conformance goes before unit: it fetches the reference model, which the tests of the engine need.
const tiers: Record<string, (report: Report) => Promise<void>> = {
  lint,
  conformance,
  tools: labTools,
  unit,
  postgres,
  trainer,
  hostile,
  kill,
  slow,
  cluster,
}

const asked = process.env.NEMO_TEST_TIERS?.split(',').map((name) => name.trim())
const unknown = asked?.filter((name) => !(name in tiers)) ?? []
if (unknown.length > 0) {
  console.error(
    `NEMO_TEST_TIERS names ${unknown.join(', ')}; the tiers are ${Object.keys(tiers).join(', ')}.`,
  )
  process.exit(1)
}

const report = consoleReport()
for (const [name, run] of Object.entries(tiers)) {
  if (asked && !asked.includes(name)) continue
  const begun = performance.now()
  console.log(`-- ${name}`)
  try {
    await run(report)
  } catch (error) {
    report.add({ name, outcome: 'failed', detail: error instanceof Error ? error.stack : String(error) })
  }
  console.log(`-- ${name}: ${((performance.now() - begun) / 1000).toFixed(1)} s`)
}
process.exitCode = report.finish()
