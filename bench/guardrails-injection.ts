// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createRegexGuard } from '@open-nemo/guardrails'
import { pythonWith, ROOT, type Row } from './lib.ts'

/** Lists of attacks under the MIT licence; they were not made for this and hold some that do nothing in a text. */
const FRAY = 'fray==3.5.249'
const KINDS = ['sqli', 'xss', 'template'] as const

interface Sample {
  kind: (typeof KINDS)[number] | null
  text: string
}

/** Rules were looked at with the samples of one half only; the other one says what they are worth. */
const isHeldOut = (text: string) => (createHash('sha256').update(text).digest()[0] ?? 0) % 2 === 1

const share = (hits: boolean[]) => Math.round((hits.filter(Boolean).length / hits.length) * 1000) / 1000

/**
 * Injection detection on open sets: the share of fray's attacks that are found, of each kind, and the share of the
 * paragraphs of Python's documentation in which something is; both for the half that the rules were tuned with, and
 * for the half that was held out.
 */
export async function injectionRows(): Promise<Row[]> {
  const python = await pythonWith('fray-3.5.249', [FRAY])
  const script = join(ROOT, 'bench/python/injection_set.py')
  const { stdout } = await promisify(execFile)(python, [script], { maxBuffer: 64e6 })
  const samples = stdout
    .trim()
    .split('\n')
    .map((line): Sample => JSON.parse(line))
  const guard = createRegexGuard()
  const rows: Row[] = []
  for (const half of ['tuning', 'held_out']) {
    const own = samples.filter(({ text }) => isHeldOut(text) === (half === 'held_out'))
    for (const kind of [...KINDS, null]) {
      const some = own.filter((sample) => sample.kind === kind)
      const found = await Promise.all(
        some.map(async ({ text }) => (await guard.injections([...KINDS], text)).length > 0),
      )
      const name = kind ? `recall.${kind}` : 'false_positives'
      rows.push({
        name: `guardrails.injection.${name}.${half}`,
        value: share(found),
        unit: `share of ${some.length}`,
      })
    }
  }
  await guard.close()
  return rows
}
