// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { pythonWith, type Row, type Running, uploadRows, withFolder } from './lib.ts'

const MODEL = 'smollm2/smollm2-135m-instruct'
const COLOURS = ['red', 'green', 'blue', 'white']
const PARALLELISM = 16
const LATENCY_MS = 50
const TIMED_ROWS = 800

interface Task {
  params: Record<string, unknown>
  rows: Record<string, unknown>[]
}

const WORDS = {
  output_type: 'generate_until',
  doc_to_text: '{{question}}\n',
  doc_to_target: '{{answer}}',
  metric_list: [{ metric: 'exact_match', ignore_case: true }],
  generation_kwargs: { until: ['\n\n'], max_gen_toks: 12, do_sample: false },
}
const CHOICES = {
  output_type: 'multiple_choice',
  doc_to_text: 'Question: {{question}}\nAnswer:',
  doc_to_target: 'answer',
  doc_to_choice: '{{choices}}',
  metric_list: [{ metric: 'acc' }, { metric: 'acc_norm' }],
}
const word = (n: number) => COLOURS[n % COLOURS.length] ?? ''
const words = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ question: `Repeat this word: ${word(n)}`, answer: word(n) }))
const TASKS: Record<string, Task> = {
  choices: {
    params: CHOICES,
    rows: Array.from({ length: 8 }, (_, n) => ({
      question: `What is ${n} plus ${n + 1}?`,
      choices: [`${2 * n}`, `${n + 7}`, `${2 * n + 1}`, 'a cat'],
      answer: 2,
    })),
  },
  words: { params: WORDS, rows: words(16) },
}

/** lm-eval run by the evaluator and by its own command on the same endpoint: differences of scores, and times. */
export async function lmEval({
  urls,
}: Pick<Running, 'urls'>): Promise<{ rows: Row[]; differences: Record<string, number> }> {
  const python = await pythonWith('lm-eval-0.4.13', ['lm-eval[api]==0.4.13'])
  const model = { url: `${urls.nim}/v1`, id: MODEL, tokenizer: 'remote' }
  const ours = await byEvaluator(urls.evaluator, model, TASKS)
  const theirs = await byItself(python, model, TASKS)
  const differences: Record<string, number> = {}
  for (const [name, score] of Object.entries(theirs.scores))
    differences[`lm_eval.${name}`] = Math.abs((ours.scores[name] ?? Number.NaN) - score)
  const mock = await slowModel()
  try {
    const timed = { words: { params: WORDS, rows: words(TIMED_ROWS) } }
    const slow = { url: mock.url, id: 'mock', tokenizer: 'none' }
    const mine = await byEvaluator(urls.evaluator, slow, timed)
    const plain = await byItself(python, slow, timed)
    const round = (seconds: number) => Math.round(seconds * 10) / 10
    const row: Row = {
      name: 'evaluator.lm_eval_s',
      value: round(mine.seconds),
      unit: `s for ${TIMED_ROWS} answers of ${LATENCY_MS} ms, ${PARALLELISM} at a time`,
      peer: 'lm-eval alone',
      peer_value: round(plain.seconds),
      ratio: Math.round((mine.seconds / plain.seconds) * 100) / 100,
    }
    return { rows: [row], differences }
  } finally {
    mock.close()
  }
}

interface Model {
  url: string
  id: string
  tokenizer: string
}

interface Ran {
  seconds: number
  /** By `task.metric`. */
  scores: Record<string, number>
}

async function byEvaluator(url: string, model: Model, tasks: Record<string, Task>): Promise<Ran> {
  const entries = Object.entries(tasks)
  const planned: [string, unknown][] = []
  for (const [name, { params, rows }] of entries) {
    const files_url = await uploadRows(url, rows)
    planned.push([name, { type: 'lm-evaluation-harness', dataset: { files_url }, params }])
  }
  const begun = performance.now()
  const job = await call(`${url}/v1/evaluation/jobs`, {
    target: { type: 'model', model: { api_endpoint: { url: model.url, model_id: model.id } } },
    config: {
      type: 'lm-evaluation-harness',
      params: { parallelism: PARALLELISM, extra: { bootstrap_iters: 0 } },
      tasks: Object.fromEntries(planned),
    },
  })
  for (;;) {
    const { status, status_details } = await call(`${url}/v1/evaluation/jobs/${job.id}`)
    if (status === 'completed') break
    if (status === 'failed') throw new Error(JSON.stringify(status_details))
    await sleep(200)
  }
  const seconds = (performance.now() - begun) / 1000
  const result = await call(`${url}/v1/evaluation/jobs/${job.id}/results`)
  const scores: Record<string, number> = {}
  for (const [name] of entries) {
    for (const [metric, { scores: found }] of Object.entries<Answer>(result.tasks[name].metrics))
      scores[`${name}.${metric}`] = found[metric].value
  }
  return { seconds, scores }
}

async function byItself(python: string, model: Model, tasks: Record<string, Task>): Promise<Ran> {
  return withFolder(async (dir) => {
    for (const [name, { params, rows }] of Object.entries(tasks)) {
      const test = join(dir, `${name}.jsonl`)
      await writeFile(test, rows.map((row) => JSON.stringify(row)).join('\n'))
      const data = { dataset_path: 'json', dataset_kwargs: { data_files: { test } }, test_split: 'test' }
      await writeFile(join(dir, `${name}.yaml`), JSON.stringify({ task: name, ...data, ...params }))
    }
    await mkdir(join(dir, 'out'))
    const url = `${model.url}/completions`
    const facts = `model=${model.id},base_url=${url},num_concurrent=${PARALLELISM},tokenizer_backend=${model.tokenizer}`
    const begun = performance.now()
    const args = ['-m', 'lm_eval', 'run', '--model', 'local-completions', '--model_args', facts]
    const where = ['--tasks', Object.keys(tasks).join(','), '--include_path', dir]
    const out = ['--output_path', join(dir, 'out'), '--log_samples']
    await promisify(execFile)(python, [...args, ...where, ...out], {
      env: { ...process.env, HF_HUB_OFFLINE: '1', HF_HOME: join(dir, 'hf') },
      maxBuffer: 1e8,
    })
    const seconds = (performance.now() - begun) / 1000
    const files = await readdir(join(dir, 'out'), { recursive: true })
    const file = files.find((one) => /results.*\.json$/.test(one)) ?? ''
    const { results } = JSON.parse(await readFile(join(dir, 'out', file), 'utf8'))
    const scores: Record<string, number> = {}
    for (const name of Object.keys(tasks)) {
      for (const [key, value] of Object.entries(results[name])) {
        const [metric = '', filter] = key.split(',')
        if (filter && typeof value === 'number' && !metric.endsWith('_stderr'))
          scores[`${name}.${metric}`] = value
      }
    }
    return { seconds, scores }
  })
}

async function slowModel(): Promise<{ url: string; close(): void }> {
  const answer = JSON.stringify({ choices: [{ index: 0, text: 'red' }] })
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () =>
      setTimeout(() => {
        response.setHeader('content-type', 'application/json')
        response.end(answer)
      }, LATENCY_MS),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return { url: `http://127.0.0.1:${port}/v1`, close: () => server.close() }
}

// biome-ignore lint/suspicious/noExplicitAny: answers are read field by field
type Answer = any

async function call(url: string, body?: unknown): Promise<Answer> {
  const response = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text.slice(0, 500)}`)
  return JSON.parse(text)
}
