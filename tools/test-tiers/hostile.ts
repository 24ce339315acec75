// SPDX-License-Identifier: Apache-2.0
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SERVICE_NAMES } from '@open-nemo/contract'
import { EnvironmentError } from '../../test/conformance/environments.ts'
import { startTestPlatform, type TestPlatform } from '../../test/conformance/platform.ts'
import { attack, FAST, SLOW, strayFiles, THOROUGH } from '../../test/hostile/schemathesis.ts'
import type { Outcome, Report } from './report.ts'

const SEED = Number(process.env.HOSTILE_SEED ?? 20_261_124)

/**
 * Requests made by schemathesis from each OpenAPI document, against a platform in a folder of its own: some for
 * every operation in a minute, more with NEMO_SLOW=1, for minutes a document with HOSTILE_EFFORT=slow. HOSTILE_SEED
 * changes what is tried.
 */
export async function hostile(report: Report): Promise<void> {
  const some = process.env.NEMO_SLOW === '1' ? THOROUGH : FAST
  const effort = process.env.HOSTILE_EFFORT === 'slow' ? SLOW : some
  const sandbox = await mkdtemp(join(tmpdir(), 'nemo-hostile-'))
  // Deep enough that a path with some `..` in it would still be seen.
  const [at, temporary, user] = ['a/b/c', 'tmp', 'user'].map((name) => join(sandbox, name)) as [
    string,
    string,
    string,
  ]
  for (const folder of [at, temporary, user]) await mkdir(folder, { recursive: true })
  const platform = await startTestPlatform({ HOME: user, TMPDIR: temporary, NEMO_ENGINE_THREADS: '1' }, at)
  try {
    for (const service of SERVICE_NAMES) {
      const name = `hostile: ${service}`
      report.add(await oneOf(name, platform, { service, dir: join(sandbox, 'reports'), effort }))
    }
    const strays = await strayFiles(sandbox, [platform.home, join(sandbox, 'reports')])
    const detail = `files outside of NEMO_HOME:\n${strays.slice(0, 20).join('\n')}`
    const name = 'hostile: no file outside of NEMO_HOME'
    report.add(strays.length === 0 ? { name, outcome: 'passed' } : { name, outcome: 'failed', detail })
  } finally {
    await platform.stop()
    await rm(sandbox, { recursive: true, force: true })
  }
}

async function oneOf(
  name: string,
  platform: TestPlatform,
  { service, dir, effort }: { service: (typeof SERVICE_NAMES)[number]; dir: string; effort: typeof FAST },
): Promise<Outcome> {
  try {
    const { cases, operations, tried, findings } = await attack(service, platform, {
      dir,
      effort,
      seed: SEED,
    })
    if (findings.length > 0) return { name, outcome: 'failed', detail: findings.join('\n') }
    console.log(`  ${service}: ${cases} requests to ${tried.size} of ${operations.length} operations`)
    return { name, outcome: 'passed' }
  } catch (error) {
    if (error instanceof EnvironmentError) return { name, outcome: 'skipped', reason: error.message }
    throw error
  }
}
