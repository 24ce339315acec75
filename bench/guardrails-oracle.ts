// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Case, full, MODEL_TYPES, PROMPTS, RAIL_CASES } from './guardrails-cases.ts'
import { DIALOG_CASES } from './guardrails-dialogs.ts'
import { MORE_CASES } from './guardrails-more.ts'
import { answerHere, type Told } from './guardrails-ours.ts'
import { type Bench, pythonWith, ROOT, withFolder } from './lib.ts'

const PEER = ['nemoguardrails[server]==0.24.1', 'yara-python']
const CASES: Case[] = [...RAIL_CASES, ...DIALOG_CASES, ...MORE_CASES]

/**
 * The same configurations, conversations and scripted models through this engine and through nemoguardrails: the
 * share of equal decisions, and bench/results/guardrails-oracle.md with a row for each case.
 */
export const bench: Bench = {
  async run() {
    const theirs = new Map((await oracle()).map((told) => [told.id, told]))
    const rows: Row[] = []
    for (const one of CASES) {
      const label = one.label ?? decisionOf(one, theirs.get(one.id) ?? { id: one.id, error: 'no answer' })
      rows.push({ one, label, ours: decisionOf(one, await answerHere(one)) })
    }
    const agree = rows.filter((r) => r.label === r.ours).length
    for (const r of rows.filter((x) => x.label !== x.ours))
      console.log(`differs: ${r.one.id}: here ${r.ours}, there ${r.label}: ${r.one.why ?? 'NOT EXPLAINED'}`)
    await writeFile(join(ROOT, 'bench/results/guardrails-oracle.md'), table(rows))
    const value = Math.round((agree / rows.length) * 1000) / 1000
    console.log(`${agree} of ${rows.length} decisions are the same`)
    return [{ name: 'guardrails.oracle_agreement', value, unit: 'share of cases', target: 0.97 }]
  },
}

interface Row {
  one: Case
  label: string
  ours: string
}

async function oracle(): Promise<Told[]> {
  return withFolder(async (dir) => {
    const file = join(dir, 'cases.json')
    const cases = CASES.filter((c) => c.label === undefined).map((c) => ({
      ...full(c),
      yaml: PROMPTS + c.yaml,
    }))
    await writeFile(file, JSON.stringify({ models: MODEL_TYPES, cases }))
    const python = await pythonWith('nemoguardrails-0.24.1-yara', PEER)
    const script = join(ROOT, 'bench/python/guardrails_oracle.py')
    const { stdout } = await promisify(execFile)(python, [script, file], { maxBuffer: 64e6, cwd: dir })
    return stdout
      .split('\n')
      .filter((line) => line.startsWith('CASE '))
      .map((line) => JSON.parse(line.slice(5)))
  })
}

/** Answered as the model said, or as it came, refused, or changed; a failure refuses. */
function decisionOf(one: Case, { text, error }: Told): string {
  const { user = '', main = '' } = full(one)
  // What is said in conversations and sent in streams is compared as it is.
  if (one.turns || one.stream)
    return error === undefined ? (text ?? '') : `an error ${process.env.WHY ? error : ''}`.trim()
  if (error !== undefined) return 'blocked'
  const said = text?.trim() ?? ''
  if ([main, user, one.assistant].some((t) => t !== undefined && said === t.trim())) return 'answered'
  if (/^(I'm sorry|I don't know the answer|Not here\.|\{"type": "\w+Exception")/.test(said)) return 'blocked'
  return `changed: ${said.slice(0, 80)}`
}

function table(rows: Row[]): string {
  const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', '\\n')
  const line = ({ one, label, ours }: Row) =>
    `| ${cell(one.rail)} | ${cell(one.id)} | ${cell(ours)} | ${cell(label)}${one.label ? ' (by hand)' : ''} | ${label === ours ? '' : cell(one.why ?? '')} |`
  return [
    '# Decisions beside nemoguardrails 0.24.1',
    '',
    'Made by `npm run bench -- guardrails-oracle` from `bench/guardrails-cases.ts`.',
    '',
    '| rail | case | here | there | why they differ |',
    '|---|---|---|---|---|',
    ...rows.map(line),
    '',
  ].join('\n')
}
