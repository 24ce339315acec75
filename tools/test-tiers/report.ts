// SPDX-License-Identifier: Apache-2.0
/** What one test came to; `reason` says why it was skipped, `detail` how it failed. */
export interface Outcome {
  name: string
  outcome: 'passed' | 'failed' | 'skipped'
  reason?: string
  detail?: string
}

/** Takes outcomes as they happen; failures and skipped tests are printed at once and again at the end. */
export interface Report {
  add(outcome: Outcome): void
}

/** A report on standard output; `finish` prints the totals as the last line and returns the exit status. */
export function consoleReport(): Report & { finish(): number } {
  const all: Outcome[] = []
  return {
    add(outcome) {
      all.push(outcome)
      if (outcome.outcome === 'failed') console.log(`FAILED ${outcome.name}\n${indent(outcome.detail ?? '')}`)
      if (outcome.outcome === 'skipped')
        console.log(`skipped ${outcome.name}: ${outcome.reason ?? 'no reason given'}`)
    },
    finish() {
      const of = (outcome: Outcome['outcome']) => all.filter((one) => one.outcome === outcome)
      const failed = of('failed')
      if (failed.length > 0) console.log(`\nFailed:\n${failed.map((one) => `  ${one.name}`).join('\n')}`)
      console.log(`${of('passed').length} passed, ${failed.length} failed, ${of('skipped').length} skipped`)
      return failed.length > 0 || all.length === 0 ? 1 : 0
    },
  }
}

const indent = (text: string) => text.trimEnd().replaceAll(/^/gm, '    ')
