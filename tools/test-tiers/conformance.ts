// SPDX-License-Identifier: Apache-2.0
import { type Driver, drivers, runDriver, slow } from '../../test/conformance/drivers.ts'
import { EnvironmentError } from '../../test/conformance/environments.ts'
import { onPlatforms } from '../../test/conformance/platform.ts'
import { runCommand } from './command.ts'
import type { Outcome, Report } from './report.ts'

/** Other people's clients against a platform started as README says: a test a driver. NEMO_SLOW=1 adds the slow ones. */
export async function conformance(report: Report): Promise<void> {
  const all = process.env.NEMO_SLOW === '1' ? [...drivers, ...slow] : drivers
  const missing = await missingProgram()
  if (missing !== undefined) {
    for (const driver of all) report.add({ name: named(driver), outcome: 'skipped', reason: missing })
    return
  }
  await onPlatforms(all, async (driver, env) => {
    const outcome = await runOne(driver, env)
    report.add(outcome)
    return { failed: outcome.outcome === 'failed' }
  })
  if (process.env.NEMO_SLOW !== '1') {
    for (const driver of slow)
      report.add({ name: named(driver), outcome: 'skipped', reason: 'NEMO_SLOW=1 runs the slow tests' })
  }
}

const named = (driver: Driver) => `conformance: ${driver.name}`

async function missingProgram(): Promise<string | undefined> {
  const python = process.env.NEMO_PYTHON ?? 'python3'
  if ((await runCommand(python, ['-c', 'import venv, ensurepip'])).code !== 0)
    return `${python} cannot make venvs`
  if ((await runCommand('git', ['--version'])).code !== 0) return 'git is missing'
  return undefined
}

async function runOne(driver: Driver, env: Record<string, string>): Promise<Outcome> {
  const name = named(driver)
  try {
    const { operations, broken } = await runDriver(driver, env)
    const failures = operations.filter((one) => !one.ok).map((one) => `${one.operation}: ${one.detail}`)
    if (broken !== undefined) failures.push(`the driver ended early: ${broken}`)
    const refused = operations.filter((one) => one.refused).length
    if (failures.length > 0) return { name, outcome: 'failed', detail: failures.join('\n') }
    console.log(`  ${driver.name}: ${operations.length - refused} operations, ${refused} refused`)
    return { name, outcome: 'passed' }
  } catch (error) {
    if (error instanceof EnvironmentError) return { name, outcome: 'skipped', reason: error.message }
    throw error
  }
}
