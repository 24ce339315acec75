// SPDX-License-Identifier: Apache-2.0
// `npm run conformance [-- PART_OF_A_DRIVER'S_NAME …]`: the score of each service, with its users' own clients.
// With NEMO_URL, DATA_STORE_URL and NIM_URL set, the platform that answers there is tried; else one is started.
import { type Driver, drivers, type Operation, runDriver, slow } from './drivers.ts'
import { onPlatforms } from './platform.ts'
import { writeResults } from './results.ts'
import { scores } from './score.ts'

const wanted = process.argv.slice(2)
const chosen = wanted.length === 0 ? drivers : [...drivers, ...slow].filter(isWanted)
if (chosen.length === 0) {
  console.error(
    `No driver has ${wanted.join(' or ')} in its name:\n${drivers.map((d) => `  ${d.name}`).join('\n')}`,
  )
  process.exit(1)
}

const all: Operation[] = []
let broken = 0
const { NEMO_URL, DATA_STORE_URL = NEMO_URL, NIM_URL = NEMO_URL } = process.env
if (NEMO_URL && DATA_STORE_URL && NIM_URL) {
  for (const driver of chosen.filter((one) => !one.settings))
    await tell(driver, { NEMO_URL, DATA_STORE_URL, NIM_URL })
} else {
  await onPlatforms(chosen, tell)
}
for (const { service, passed, refused, failed, untried, total } of scores(all)) {
  console.log(
    `${service}: ${passed.length} of ${total} operations passed, ${refused.length} refused, ` +
      `${failed.length} failed, ${untried.length} not tried`,
  )
  for (const [what, list] of Object.entries({ refused, failed, 'not tried': untried })) {
    if (list.length > 0) console.log(list.map((one) => `    ${what}: ${one}`).join('\n'))
  }
}
if (wanted.length === 0) writeResults(scores(all))
process.exitCode = broken > 0 ? 1 : 0

function isWanted(driver: Driver): boolean {
  return wanted.some((part) => driver.name.includes(part))
}

async function tell(driver: Driver, env: Record<string, string>): Promise<{ failed: boolean }> {
  const begun = performance.now()
  const run = await runDriver(driver, env)
  console.log(`${driver.name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`)
  for (const { ok, refused, operation, detail } of run.operations) {
    const verdict = refused ? 'refused' : ok ? 'passed' : 'FAILED'
    console.log(`  ${verdict} ${operation}${detail ? `: ${detail}` : ''}`)
  }
  const failures = run.operations.filter((one) => !one.ok).length + (run.broken === undefined ? 0 : 1)
  if (run.broken !== undefined) console.log(`  BROKEN: ${run.broken}`)
  all.push(...run.operations)
  broken += failures
  return { failed: failures > 0 }
}
