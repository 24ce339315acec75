// SPDX-License-Identifier: Apache-2.0
// Stands in for Python with lm-eval in tests: asks the forwarder for one completion a row of the task, remembers the
// answers as run.py does, and writes the same files.
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const spec = JSON.parse(readFileSync(process.argv[3], 'utf8'))
const task = JSON.parse(readFileSync(join(spec.include_path, 'task.yaml'), 'utf8'))
const rows = readFileSync(task.dataset_kwargs.data_files.test, 'utf8').trim().split('\n').map(JSON.parse)
const limited = rows.slice(0, spec.options.limit ?? rows.length)
const known = existsSync(spec.answers)
  ? readFileSync(spec.answers, 'utf8').split('\n').filter(Boolean).map(JSON.parse)
  : []
const answers = new Map(known.map(({ k, v }) => [k, v]))
console.log(JSON.stringify({ asked: limited.length, known: answers.size }))
console.error('Traceback (most recent call last):')
const headers = { authorization: `Bearer ${process.env.OPENAI_API_KEY}`, 'content-type': 'application/json' }
for (const [i, row] of limited.entries()) {
  if (answers.has(`${i}`)) continue
  const body = JSON.stringify({ model: spec.model_args.model, prompt: row.q, max_tokens: 5 })
  const response = await fetch(spec.model_args.base_url, { method: 'POST', headers, body })
  if (!response.ok) {
    console.error(`requests.exceptions.HTTPError: ${response.status} ${await response.text()}`)
    process.exit(1)
  }
  const { text } = (await response.json()).choices[0]
  answers.set(`${i}`, text)
  appendFileSync(spec.answers, `${JSON.stringify({ k: `${i}`, v: text })}\n`)
}
const scores = limited.map((row, i) => (answers.get(`${i}`) === row.a ? 1 : 0))
const lines = limited.map((doc, i) => ({
  task: spec.task,
  doc_id: i,
  doc: { ...doc, environment: Object.keys(process.env).sort() },
  target: doc.a,
  arguments: [[doc.q, {}]],
  resps: [[answers.get(`${i}`)]],
  filters: {
    strict: { answers: [answers.get(`${i}`)], scores: { exact_match: scores[i] } },
    loose: { answers: [answers.get(`${i}`)], scores: { exact_match: 1 } },
  },
}))
const mean = scores.reduce((sum, one) => sum + one, 0) / scores.length
mkdirSync(spec.output, { recursive: true })
writeFileSync(join(spec.output, 'samples.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
const entry = {
  alias: spec.task,
  'exact_match,strict': mean,
  'exact_match_stderr,strict': 0.25,
  'exact_match,loose': 1,
  'exact_match_stderr,loose': 0,
}
const found = { results: { [spec.task]: entry }, groups: {}, group_subtasks: {}, 'n-shot': {}, versions: {} }
writeFileSync(join(spec.output, 'results.json'), JSON.stringify(found))
