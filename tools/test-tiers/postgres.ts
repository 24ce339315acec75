// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { findPostgres, startTestServer } from '../../packages/runtime/src/database/testing.ts'
import { root } from './command.ts'
import { runFiles, testFiles } from './files.ts'
import type { Report } from './report.ts'

/** Tests of the embedded database itself. */
const EMBEDDED = /^packages\/runtime\/src\/database\//
/** What a test that needs a database imports: the helper itself, or its service's own helpers. */
const NEEDS = /openMemoryDatabase|\/(testing|harness)\.ts'/

/** NEMO_SLOW=1: the tests of every service again, with a PostgreSQL server in place of the embedded database. */
export async function postgres(report: Report): Promise<void> {
  if (process.env.NEMO_SLOW !== '1') {
    report.add({ name: 'postgres', outcome: 'skipped', reason: 'NEMO_SLOW=1 runs the slow tests' })
    return
  }
  const bin = findPostgres()
  if (!bin) {
    const reason = 'PostgreSQL server programs (initdb, postgres) are not installed'
    report.add({ name: 'postgres', outcome: 'skipped', reason })
    return
  }
  const server = await startTestServer(bin)
  const before = process.env.NEMO_TEST_DATABASE
  process.env.NEMO_TEST_DATABASE = server.dsn
  try {
    await runFiles(report, databaseTests(), { concurrency: 2, timeoutMs: 120_000 })
  } finally {
    if (before === undefined) delete process.env.NEMO_TEST_DATABASE
    else process.env.NEMO_TEST_DATABASE = before
    await server.stop()
  }
}

/** The test files that open a database by the helper that knows of the server. */
export function databaseTests(): string[] {
  const services = 'entity-store,data-store,customizer,inference,evaluator,guardrails,runtime'
  return testFiles(`packages/{${services}}/src/**/*.test.ts`).filter(
    (file) => !EMBEDDED.test(file) && NEEDS.test(readFileSync(join(root, file), 'utf8')),
  )
}
