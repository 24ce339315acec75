// SPDX-License-Identifier: Apache-2.0
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bench, ROOT, type Row, uploadRows, withPlatform } from './lib.ts'
import { lmEval } from './lm-eval.ts'
import { rankParity, textParity } from './parity.ts'

const CONCURRENCY = 64
/** What a small model takes for a short answer. */
const LATENCY_MS = 500
const BUSY_SAMPLES = 2000
const ITEMS = 10_000

/**
 * Scores beside those of the reference libraries, items scored a second by the running service, and how busy an
 * evaluation of 64 requests at a time keeps an endpoint while a judge looks at every answer.
 */
export const bench: Bench = {
  async run() {
    const differences = { ...(await textParity()), ...(await rankParity()) }
    const measured: Row[] = []
    await withPlatform(async (running) => {
      const { evaluator } = running.urls
      const harness = await lmEval(running)
      Object.assign(differences, harness.differences)
      measured.push(
        {
          name: 'evaluator.metric_items_per_s',
          value: await itemsPerSecond(evaluator),
          unit: '1/s',
          target: 20_000,
        },
        {
          name: 'evaluator.endpoint_busy_share.c64',
          value: await busyShare(evaluator),
          unit: 'share',
          target: 0.95,
        },
        ...harness.rows,
      )
    })
    const unit = 'max abs difference'
    const rows = Object.entries(differences).map(
      ([name, value]): Row => ({ name: `evaluator.parity.${name}`, value, unit, target: 1e-6 }),
    )
    const worst = Math.max(...Object.values(differences))
    rows.unshift({ name: 'evaluator.parity_max_abs_diff', value: worst, unit, target: 1e-6 })
    writeParityTable(rows)
    return [...rows, ...measured]
  },
}

const PAGE = join(ROOT, 'docs/evaluator.md')
const [START, END] = ['<!-- parity: `npm run bench -- evaluator` writes it -->', '<!-- /parity -->']

/** The differences from the reference libraries, in the page about the evaluator. */
export function writeParityTable(rows: Row[]): void {
  const page = readFileSync(PAGE, 'utf8')
  const [start, end] = [page.indexOf(START), page.indexOf(END)]
  if (start < 0 || end < start) throw new Error(`${PAGE} has lost its markers for the table`)
  const lines = rows.map(({ name, value }) => `| ${name.replace(/^evaluator\.(parity\.)?/, '')} | ${value} |`)
  const table = ['| score | largest difference |', '|---|---|', ...lines].join('\n')
  writeFileSync(PAGE, `${page.slice(0, start)}${START}\n${table}\n${page.slice(end)}`)
}

/** Live evaluations of string-check, exact match and F1: with reading the request, rendering and statistics. */
async function itemsPerSecond(url: string): Promise<number> {
  const rows = Array.from({ length: ITEMS }, (_, i) => ({
    output: `the answer is ${i % 10}`,
    expected: `${i % 7}`,
  }))
  const metric = (type: string, params: unknown) => ({ [type]: { type, params } })
  const metrics = [
    metric('string-check', { check: ['{{output}}', 'contains', '{{expected}}'] }),
    metric('exact-match', { ground_truth: '{{ item.expected }}' }),
    metric('f1', { ground_truth: '{{ item.expected }}' }),
  ]
  const rates: number[] = []
  for (let round = 0; round < 4; round++) {
    for (const one of metrics) {
      const config = { type: 'custom', tasks: { t: { type: 'data', metrics: one } } }
      const start = performance.now()
      const answer = await post(`${url}/v1/evaluation/live`, { config, target: { type: 'rows', rows } })
      if (answer.status !== 'completed') throw new Error(JSON.stringify(answer).slice(0, 500))
      // The first round warms up.
      if (round > 0) rates.push(ITEMS / ((performance.now() - start) / 1000))
    }
  }
  return Math.round(rates.reduce((sum, rate) => sum + rate, 0) / rates.length)
}

/** The mean share of 64 slots of an endpoint that hold a request, from its first request to the start of its last ones. */
async function busyShare(url: string): Promise<number> {
  const model = await mock('Hello there.')
  const judge = await mock('RATING: 4')
  try {
    const rows = Array.from({ length: BUSY_SAMPLES }, (_, n) => ({ prompt: `Say ${n}.` }))
    const repo = await uploadRows(url, rows)
    const prompt = (content: string) => ({ messages: [{ role: 'user', content }] })
    const job = await post(`${url}/v1/evaluation/jobs`, {
      target: { type: 'model', model: { api_endpoint: { url: model.url, model_id: 'mock' } } },
      config: {
        type: 'custom',
        params: { parallelism: CONCURRENCY },
        tasks: {
          t: {
            type: 'chat-completion',
            dataset: repo,
            params: { template: prompt('{{ item.prompt }}') },
            metrics: {
              judge: {
                type: 'llm-judge',
                params: {
                  model: { api_endpoint: { url: judge.url, model_id: 'judge' } },
                  template: prompt('{{ sample.output_text }}'),
                  scores: { rate: { type: 'int', parser: { type: 'number' } } },
                },
              },
            },
          },
        },
      },
    })
    for (;;) {
      const { status, status_details } = await get(`${url}/v1/evaluation/jobs/${job.id}`)
      if (status === 'completed') break
      if (status === 'failed') throw new Error(JSON.stringify(status_details))
      await sleep(200)
    }
    return model.busyShare()
  } finally {
    model.server.close()
    judge.server.close()
  }
}

/** An endpoint that takes a fixed time for every answer, and knows how many requests it held, and for how long. */
async function mock(content: string): Promise<{ url: string; server: Server; busyShare: () => number }> {
  const spans: [number, number][] = []
  const answer = JSON.stringify({ choices: [{ index: 0, message: { role: 'assistant', content } }] })
  const server = createServer((request, response) => {
    const start = performance.now()
    request.resume()
    request.on('end', () =>
      setTimeout(() => {
        response.setHeader('content-type', 'application/json')
        response.end(answer)
        spans.push([start, performance.now()])
      }, LATENCY_MS),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  return {
    server,
    url: `http://127.0.0.1:${port}/v1`,
    busyShare() {
      const starts = spans.map(([start]) => start).sort((a, b) => a - b)
      const first = starts[0] ?? 0
      const last = starts[starts.length - CONCURRENCY] ?? first
      const held = spans.reduce((sum, [a, b]) => sum + Math.max(0, Math.min(b, last) - a), 0)
      return Math.round((held / (CONCURRENCY * (last - first))) * 1000) / 1000
    },
  }
}

// biome-ignore lint/suspicious/noExplicitAny: answers are read field by field
type Answer = any

async function post(url: string, body: unknown): Promise<Answer> {
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }
  return await read(await fetch(url, init))
}

async function get(url: string): Promise<Answer> {
  return await read(await fetch(url))
}

async function read(response: Response): Promise<Answer> {
  const text = await response.text()
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}: ${text.slice(0, 500)}`)
  return JSON.parse(text)
}
