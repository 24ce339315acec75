// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { compileFiles, createServices, respond } from '@open-nemo/guardrails'
import { CASES, type Case, MODEL_TYPES, PROMPTS } from './guardrails-cases.ts'
import { type Bench, pythonWith, ROOT, withFolder } from './lib.ts'

const PEER = ['nemoguardrails[server]==0.24.1', 'yara-python']
const DEFAULTS = { user: 'hi there', judge: 'No', main: 'Hello from the model' }

interface Told {
  id: string
  text?: string
  error?: string
}

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
      rows.push({ one, label, ours: decisionOf(one, await answer(one)) })
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

const full = (one: Case) => ({
  ...one,
  ...Object.fromEntries(Object.entries(DEFAULTS).map(([k, v]) => [k, one[k as keyof Case] ?? v])),
})

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

/** This engine on a case; the model is scripted as it is for the other. */
async function answer(one: Case): Promise<Told> {
  const { user = '', judge = '', main = '' } = full(one) as Case
  const scripted = async (_: unknown, init?: RequestInit) => {
    const { messages } = JSON.parse(String(init?.body))
    const said = String(messages[0].content).startsWith('JUDGE') ? judge : main
    if (typeof said === 'number') return Response.json({ error: { message: 'down' } }, { status: said })
    return Response.json({
      choices: [{ index: 0, message: { role: 'assistant', content: said }, finish_reason: 'stop' }],
    })
  }
  const services = createServices({ nimUrl: 'http://nim/v1', fetch: scripted as typeof fetch })
  try {
    const models = MODEL_TYPES.map((type) => `  - {type: ${type}, engine: nim, model: m}\n`).join('')
    const files = { 'config.yml': `models:\n${models}${PROMPTS}${one.yaml}`, 'rails.co': one.colang ?? '' }
    const config = compileFiles(files, services)
    const messages = [{ role: 'user', content: user }]
    if (one.assistant) messages.push({ role: 'assistant', content: one.assistant })
    const options = one.rails ? { rails: one.rails } : undefined
    const { text } = await respond({ config, messages, context: one.context, options }, services)
    return { id: one.id, text }
  } catch (err) {
    return { id: one.id, error: String(err) }
  } finally {
    await services.regex.close()
  }
}

/** Answered as the model said, or as it came, refused, or changed; a failure refuses. */
function decisionOf(one: Case, { text, error }: Told): string {
  const { user = '', main = '' } = full(one) as Case
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
