// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { loadCatalogue } from '@open-nemo/runtime/catalogue/index.ts'
import { ADAPTER, addAdapter } from './engine-adapter.ts'
import {
  type Bench,
  CACHE,
  freePorts,
  median,
  type Row,
  type Running,
  until200,
  withPlatform,
} from './lib.ts'

const TOKENS = 96
const ROUNDS = 5
const STREAMS = [1, 8]
/** As NIM_MAX_MODEL_LEN and NEMO_ADAPTER_SEQUENCES are by default. */
const CONTEXT = 2048
const SEQUENCES = 8
const TARGET_SHARE = 0.8
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

interface Way {
  what: string
  base: string
  model: string
}

/**
 * Tokens per second of one LoRA adapter of the reference model, with one and with eight streams. With
 * `NEMO_BENCH_LLAMA_SERVER=<path of llama-server>` (README.md says how to build it) the same requests go to it too, in
 * turn with ours, on the same two GGUF files, with as many threads, sequences and tokens of context.
 */
export const bench: Bench = {
  run: async () => {
    const catalogue = await loadCatalogue({ env: process.env, home: CACHE, cacheDir: CACHE })
    const model = catalogue.models.find((each) => each.kind === 'gguf')
    if (!model) throw new Error('the catalogue holds no GGUF model')
    const { path } = await catalogue.ensureGguf(model)
    return withPlatform(async (running) => {
      const { nim, platform } = running.urls
      await until200(`${nim}/v1/health/ready`, 120_000)
      await addAdapter(platform, model.id)
      const ours: Way = { what: 'the NIM', base: nim, model: ADAPTER }
      await generate(ours, 'Hello', 8)
      const program = process.env.NEMO_BENCH_LLAMA_SERVER
      if (!program) return rows(await inTurns([ours]))
      const peer = await startPeer(program, path, await adapterFile(running))
      try {
        const theirs: Way = { what: 'llama-server', base: peer.base, model: 'reference' }
        await generate(theirs, 'Hello', 8)
        return rows(await inTurns([ours, theirs]))
      } finally {
        peer.child.kill('SIGTERM')
      }
    })
  },
}

function rows(rates: number[][]): Row[] {
  return STREAMS.map((streams, i) => {
    const [value = Number.NaN, peer_value] = rates[i] ?? []
    const row: Row = { name: `engine.tok_s.c${streams}`, value, unit: 'tok/s' }
    if (peer_value === undefined) return row
    const target = Math.round(TARGET_SHARE * peer_value * 10) / 10
    return {
      ...row,
      target,
      peer: 'llama-server',
      peer_value,
      ratio: Math.round((value / peer_value) * 1000) / 1000,
    }
  })
}

/** For each number of streams the median of each way's rounds, the ways one after the other in every round. */
async function inTurns(ways: Way[]): Promise<number[][]> {
  const all: number[][] = []
  for (const streams of STREAMS) {
    const rates: number[][] = ways.map(() => [])
    for (let round = 0; round < ROUNDS; round++) {
      for (const [i, way] of ways.entries()) rates[i]?.push(await rate(way, streams))
    }
    for (const [i, { what }] of ways.entries()) {
      console.log(`${what}, ${streams} streams: ${rates[i]?.map((r) => r.toFixed(1)).join(', ')} tok/s`)
    }
    all.push(rates.map((each) => Math.round(median(each) * 10) / 10))
  }
  return all
}

/** Tokens that all streams together made in a second. */
async function rate(way: Way, streams: number): Promise<number> {
  const from = performance.now()
  const counts = await Promise.all(PROMPTS.slice(0, streams).map((prompt) => generate(way, prompt, TOKENS)))
  return counts.reduce((sum, count) => sum + count, 0) / ((performance.now() - from) / 1000)
}

async function generate({ base, model }: Way, prompt: string, tokens: number): Promise<number> {
  const response = await fetch(`${base}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model,
      messages: [{ role: 'user', content: prompt }],
      temperature: 0,
      max_tokens: tokens,
      ignore_eos: true,
    }),
  })
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`)
  const { usage } = (await response.json()) as { usage: { completion_tokens: number } }
  if (usage.completion_tokens !== tokens) throw new Error(`${usage.completion_tokens} tokens, not ${tokens}`)
  return usage.completion_tokens
}

/** The adapter as the NIM converted it: the only file of its kind in a new home. */
async function adapterFile({ home }: Running): Promise<string> {
  const names = await readdir(home, { recursive: true })
  const found = names.filter((name) => /adapters\/[0-9a-f]{64}\.gguf$/.test(name))
  if (found.length !== 1) throw new Error(`${found.length} adapters below ${home}`)
  return join(home, found[0] ?? '')
}

async function startPeer(
  program: string,
  weights: string,
  adapter: string,
): Promise<{ base: string; child: ChildProcess }> {
  const [port = 0] = await freePorts(1)
  const threads = `${Math.max(1, availableParallelism() - 1)}`
  const sequences = ['-np', `${SEQUENCES}`, '-c', `${CONTEXT * SEQUENCES}`]
  const where = ['--host', '127.0.0.1', '--port', `${port}`]
  const files = ['-m', weights, '--lora', adapter]
  const child = spawn(program, [...files, '-t', threads, '-tb', threads, ...sequences, ...where], {
    stdio: 'ignore',
  })
  const base = `http://127.0.0.1:${port}`
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`llama-server ended: ${signal ?? code}`)))
  })
  try {
    await Promise.race([until200(`${base}/health`, 120_000), ended])
  } catch (err) {
    child.kill('SIGTERM')
    throw err
  }
  ended.catch(() => undefined)
  return { base, child }
}
