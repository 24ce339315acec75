// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { loadCatalogue } from '@open-nemo/runtime/catalogue/index.ts'
import { type Bench, CACHE, median, type Row, until200, withPlatform } from './lib.ts'

const TOKENS = 96
const ROUNDS = 3
const PEER_PORT = 18_099
const PROMPTS = [
  'Write a short story about a lighthouse keeper.',
  'Explain how rain forms.',
  'Describe a walk through an old town.',
  'How do plants turn light into food?',
  'Write about a journey by train.',
  'Explain why the sky is blue.',
  'Describe the life of a bee.',
  'Write a letter from a sailor to a friend.',
]

/**
 * Tokens per second of the NIM with one and with eight streams of the reference model. With
 * `NEMO_BENCH_LLAMA_SERVER=<path of llama-server>` the same prompts go to it, on the same weights and threads.
 */
export const bench: Bench = {
  run: async () => {
    const catalogue = await loadCatalogue({ env: process.env, home: CACHE, cacheDir: CACHE })
    const model = catalogue.models.find((each) => each.kind === 'gguf')
    if (!model) throw new Error('the catalogue holds no GGUF model')
    const { path } = await catalogue.ensureGguf(model)
    const rows = await withPlatform(async ({ urls }) => {
      await until200(`${urls.nim}/v1/health/ready`, 120_000)
      return measure(urls.nim, model.id)
    })
    const server = process.env.NEMO_BENCH_LLAMA_SERVER
    if (server) await comparePeer(server, path, rows)
    return rows
  },
}

async function measure(base: string, model: string): Promise<Row[]> {
  await generate(base, model, 'Hello', 8)
  return [
    { name: 'engine.tok_s.c1', value: await rate(base, model, 1), unit: 'tok/s' },
    { name: 'engine.tok_s.c8', value: await rate(base, model, 8), unit: 'tok/s' },
  ]
}

/** The median over some rounds of the tokens that all streams together made in a second. */
async function rate(base: string, model: string, streams: number): Promise<number> {
  const rates: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const from = performance.now()
    const prompts = PROMPTS.slice(0, streams)
    const counts = await Promise.all(prompts.map((prompt) => generate(base, model, prompt, TOKENS)))
    const tokens = counts.reduce((sum, count) => sum + count, 0)
    rates.push(tokens / ((performance.now() - from) / 1000))
  }
  console.log(`${streams} streams: ${rates.map((r) => r.toFixed(1)).join(', ')} tok/s`)
  return Math.round(median(rates) * 10) / 10
}

async function generate(base: string, model: string, prompt: string, tokens: number): Promise<number> {
  const response = await fetch(`${base}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      messages: [{ role: 'user', content: prompt }],
      temperature: 0,
      max_tokens: tokens,
    }),
  })
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  const { usage } = (await response.json()) as { usage: { completion_tokens: number } }
  return usage.completion_tokens
}

async function comparePeer(server: string, weights: string, rows: Row[]): Promise<void> {
  const threads = `${Math.max(1, availableParallelism() - 1)}`
  const sequences = ['-np', '8', '-c', '8192']
  const where = ['--host', '127.0.0.1', '--port', `${PEER_PORT}`]
  const child = spawn(server, ['-m', weights, '-t', threads, '-tb', threads, ...sequences, ...where], {
    stdio: 'ignore',
  })
  try {
    const base = `http://127.0.0.1:${PEER_PORT}`
    await until200(`${base}/health`, 120_000)
    const peers = await measure(base, 'reference')
    for (const [i, row] of rows.entries()) {
      const value = peers[i]?.value ?? Number.NaN
      const ratio = Math.round((row.value / value) * 1000) / 1000
      Object.assign(row, { peer: 'llama-server', peer_value: value, target: 0.8 * value, ratio })
    }
  } finally {
    child.kill('SIGTERM')
  }
}
