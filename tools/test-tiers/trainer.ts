// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { EnvironmentError, ensureEnvironment } from '../../test/conformance/environments.ts'
import { root, runCommand } from './command.ts'
import type { Outcome, Report } from './report.ts'

const oldest = 'import sys; sys.exit(sys.version_info < (3, 11))'

/** The trainer's tests that need no PyTorch. */
export async function trainer(report: Report): Promise<void> {
  const python = process.env.NEMO_PYTHON ?? 'python3'
  if ((await runCommand(python, ['-c', oldest])).code !== 0) {
    report.add({ name: 'trainer', outcome: 'skipped', reason: `${python} is missing or older than 3.11` })
    return
  }
  try {
    await unittest(report, await ensureEnvironment('trainer-tests-1'), [])
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error
    report.add({ name: 'trainer', outcome: 'skipped', reason: error.message })
  }
}

/**
 * Runs the trainer's unittest modules with this Python and reports each test; no modules: all that discovery finds.
 * A run that ends without a result is one failure.
 */
export async function unittest(report: Report, python: string, modules: string[]): Promise<void> {
  let count = 0
  const { output } = await runCommand(python, [join(import.meta.dirname, 'unittest_lines.py'), ...modules], {
    cwd: join(root, 'trainer'),
    env: {
      PYTHONPATH: `${join(root, 'trainer/src')}:${join(root, 'trainer')}`,
      PYTHONDONTWRITEBYTECODE: '1',
    },
    onLine: (line) => {
      if (!line.startsWith('{')) return
      const outcome = JSON.parse(line) as Outcome
      report.add({ ...outcome, name: `trainer: ${outcome.name}` })
      count++
    },
  })
  if (count === 0) report.add({ name: 'trainer', outcome: 'failed', detail: output })
}
