// SPDX-License-Identifier: Apache-2.0
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { run } from 'node:test'
import { inspect } from 'node:util'
import { root } from './command.ts'
import type { Report } from './report.ts'

interface TestEvent {
  name: string
  file?: string | undefined
  nesting: number
  skip?: string | boolean | undefined
  todo?: string | boolean | undefined
  details: { type?: string | undefined; error?: Error | undefined }
}

/** The test files that match, as paths from the root. */
export function testFiles(pattern: string): string[] {
  return globSync(pattern, { cwd: root })
    .filter((file) => !file.includes('node_modules'))
    .sort()
}

/** Runs test files of node:test, a process each, and reports each test. `timeoutMs` is for one test. */
export async function runFiles(
  report: Report,
  files: string[],
  { concurrency, timeoutMs }: { concurrency: number; timeoutMs: number },
): Promise<void> {
  const stream = run({
    files: files.map((file) => join(root, file)),
    concurrency,
    timeout: timeoutMs,
    cwd: root,
  })
  const errors = new Map<string, string>()
  stream.on('test:stderr', ({ file, message }) => {
    errors.set(file, `${errors.get(file) ?? ''}${message}`.slice(-4000))
  })
  stream.on('test:pass', (event) => add(report, event, 'passed'))
  stream.on('test:fail', (event) => add(report, event, 'failed', errors.get(event.file ?? '')))
  for await (const _ of stream.resume()) {
    // The listeners above do the work.
  }
}

function add(report: Report, event: TestEvent, outcome: 'passed' | 'failed', stderr = ''): void {
  if (event.details.type === 'suite') return
  const name = `${event.file?.replace(root, '') ?? 'tests'}: ${event.name}`
  const excuse = event.skip ?? event.todo
  if (excuse !== undefined && excuse !== false) {
    report.add({
      name,
      outcome: 'skipped',
      reason: typeof excuse === 'string' && excuse ? excuse : 'marked as skipped',
    })
    return
  }
  if (outcome === 'passed') report.add({ name, outcome })
  else report.add({ name, outcome, detail: `${describe(event.details.error)}\n${stderr}` })
}

const describe = (error: Error | undefined) => inspect(error?.cause ?? error, { depth: 4 })
