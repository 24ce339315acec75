// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path'
import { root, runCommand } from './command.ts'
import type { Report } from './report.ts'

const checks = [
  { name: 'lint: biome', file: 'node_modules/@biomejs/biome/bin/biome', args: ['check', '.'] },
  { name: 'lint: types', file: 'node_modules/typescript/bin/tsc', args: ['--noEmit', '-p', '.'] },
]

/** Biome and the TypeScript compiler, one test each. */
export async function lint(report: Report): Promise<void> {
  for (const { name, file, args } of checks) {
    const { code, output } = await runCommand(process.execPath, [join(root, file), ...args])
    report.add({ name, outcome: code === 0 ? 'passed' : 'failed', detail: output })
  }
}
