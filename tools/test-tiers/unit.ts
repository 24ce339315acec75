// SPDX-License-Identifier: Apache-2.0
import { runFiles, testFiles } from './files.ts'
import type { Report } from './report.ts'

/** The tests beside the code, of the tools and of the charts, in a process a file, two at a time. */
export async function unit(report: Report): Promise<void> {
  const files = testFiles('{packages/*/src,tools,test}/**/*.test.ts').filter(
    (file) => !/^test\/(cluster|kill|telemetry|training)\//.test(file),
  )
  await runFiles(report, files, { concurrency: 2, timeoutMs: 120_000 })
}
