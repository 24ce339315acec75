// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createRegexGuard } from '@open-nemo/guardrails'
import { injectionRows } from './guardrails-injection.ts'
import { type Bench, pythonWith, ROOT, type Row } from './lib.ts'

const FAKER = 'Faker==37.1.0'
const EACH = 250
const THRESHOLD = 0.2
/** Sentences that the rules were tuned with, and others that nobody looked at. */
const SEEDS = { tuning: 7, held_out: 20261124 }
type RegexGuard = ReturnType<typeof createRegexGuard>

interface Sentence {
  entity: string | null
  value?: string
  text: string
}

/**
 * Sensitive data of Faker's making, in sentences: the share that is found whole, for each entity, and the share of
 * sentences without any in which something is found; and the same for injections. "held_out" is what no rule was
 * tuned with.
 */
export const bench: Bench = {
  async run() {
    const python = await pythonWith('faker-37.1.0', [FAKER])
    const script = join(ROOT, 'bench/python/sensitive_set.py')
    const guard = createRegexGuard()
    const rows: Row[] = []
    for (const [half, seed] of Object.entries(SEEDS)) {
      const { stdout } = await promisify(execFile)(python, [script, `${EACH}`, `${seed}`], {
        maxBuffer: 64e6,
      })
      const sentences = stdout
        .trim()
        .split('\n')
        .map((line): Sentence => JSON.parse(line))
      rows.push(...(await sensitiveRows(guard, half, sentences)))
    }
    await guard.close()
    return [...rows, ...(await injectionRows())]
  },
}

async function sensitiveRows(guard: RegexGuard, half: string, sentences: Sentence[]): Promise<Row[]> {
  const entities = [...new Set(sentences.flatMap((s) => s.entity ?? []))]
  const found = async ({ text }: Sentence, wanted: string[]) =>
    (await guard.entities(wanted, THRESHOLD, text)).map((e) => text.slice(e.start, e.end))
  const share = (hits: boolean[]) => Math.round((hits.filter(Boolean).length / hits.length) * 1000) / 1000
  const rows: Row[] = []
  for (const entity of entities) {
    const own = sentences.filter((s) => s.entity === entity)
    // What is masked must cover the value; a final slash or period more or less gives nothing away.
    const hits = await Promise.all(
      own.map(async (s) => (await found(s, [entity])).some((t) => covers(t, s.value ?? ''))),
    )
    rows.push({ name: `guardrails.recall.${entity}.${half}`, value: share(hits), unit: 'share found' })
  }
  const plain = sentences.filter((s) => s.entity === null)
  const alarms = await Promise.all(plain.map(async (s) => (await found(s, entities)).length > 0))
  rows.push({ name: `guardrails.false_positives.${half}`, value: share(alarms), unit: 'share of sentences' })
  return rows
}

const covers = (found: string, value: string) => found.includes(value.replace(/[/.]$/, ''))
