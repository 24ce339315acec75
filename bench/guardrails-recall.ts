// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createRegexGuard } from '@open-nemo/guardrails'
import { type Bench, pythonWith, ROOT, type Row } from './lib.ts'

const FAKER = 'Faker==37.1.0'
const EACH = 250
const THRESHOLD = 0.2

interface Sentence {
  entity: string | null
  value?: string
  text: string
}

/**
 * Sensitive data of Faker's making, in sentences: the share that is found whole, for each entity, and the share of
 * sentences without any in which something is found.
 */
export const bench: Bench = {
  async run() {
    const python = await pythonWith('faker-37.1.0', [FAKER])
    const script = join(ROOT, 'bench/python/sensitive_set.py')
    const { stdout } = await promisify(execFile)(python, [script, `${EACH}`], { maxBuffer: 64e6 })
    const sentences = stdout
      .trim()
      .split('\n')
      .map((line): Sentence => JSON.parse(line))
    const entities = [...new Set(sentences.flatMap((s) => s.entity ?? []))]
    const guard = createRegexGuard()
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
      rows.push({ name: `guardrails.recall.${entity}`, value: share(hits), unit: 'share found' })
    }
    const plain = sentences.filter((s) => s.entity === null)
    const alarms = await Promise.all(plain.map(async (s) => (await found(s, entities)).length > 0))
    rows.push({ name: 'guardrails.false_positives', value: share(alarms), unit: 'share of sentences' })
    await guard.close()
    return rows
  },
}

const covers = (found: string, value: string) => found.includes(value.replace(/[/.]$/, ''))
