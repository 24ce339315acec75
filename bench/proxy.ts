// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import autocannon from 'autocannon'
import { type Bench, launch, pythonWith, type Row, until200, withFolder } from './lib.ts'

const CONNECTIONS = 32
const SECONDS = 8
/** What the mock upstream takes for an answer at least; up to 15 ms more, so that the clients do not march in step. */
const DELAY_MS = 20
const LITELLM = 'litellm[proxy]==1.110.2'

/**
 * What passing a chat through to an upstream adds, at 32 connections: the mock upstream alone, behind the NIM, and
 * (NEMO_BENCH_LITELLM=1) behind LiteLLM's proxy, one after the other.
 */
export const bench: Bench = {
  run: () =>
    withFolder(async (dir) => {
      const port = await freePort()
      const mock = spawn(process.execPath, ['-e', MOCK, `${port}`, `${DELAY_MS}`], { stdio: 'ignore' })
      const upstream = `http://127.0.0.1:${port}`
      const endpoint = { url: `${upstream}/v1`, model_id: 'mock', api_key: 'bench-key' }
      const entry = { kind: 'upstream', id: 'bench/mock', api_endpoint: endpoint }
      const running = await prepared(join(dir, 'home'), entry)
      try {
        await until200(upstream, 10_000)
        await until200(`${running.urls.nim}/v1/health/live`, 120_000)
        const alone = await shoot('upstream alone', upstream, 'mock')
        const ours = await shoot('behind the NIM', running.urls.nim, 'bench/mock')
        const rows: Row[] = [
          { name: 'proxy.added_p50_ms.c32', value: added(ours, alone, 'p50'), unit: 'ms', target: 0.7 },
          { name: 'proxy.added_p99_ms.c32', value: added(ours, alone, 'p99'), unit: 'ms', target: 3 },
          {
            name: 'proxy.requests_per_s',
            value: await throughput(running.urls.nim),
            unit: '1/s',
            target: 2000,
          },
        ]
        if (process.env.NEMO_BENCH_LITELLM) await beside(dir, upstream, alone, rows)
        return rows
      } finally {
        mock.kill()
        await running.stop()
      }
    }),
}

const MOCK = `
const [port, delay] = process.argv.slice(1).map(Number)
const answer = JSON.stringify({ id: 'x', object: 'chat.completion', created: 1, model: 'mock',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello there.' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 } })
let turn = 0
require('node:http').createServer((request, response) => {
  const wait = request.url.includes('fast') ? 0 : delay + (turn++ * 7) % 16
  request.resume()
  request.on('end', () => setTimeout(() => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length })
    response.end(answer)
  }, wait))
}).listen(port, '127.0.0.1')
`

interface Result {
  p50: number
  p99: number
}

async function prepared(home: string, entry: object) {
  await mkdir(home, { recursive: true })
  const fast = JSON.parse(JSON.stringify(entry))
  fast.id = 'bench/fast'
  fast.api_endpoint.url += '/fast'
  await writeFile(join(home, 'models.json'), JSON.stringify({ models: [entry, fast] }))
  return launch(home)
}

/** Latencies come from our own clock: autocannon's are whole milliseconds. */
async function shoot(what: string, base: string, model: string): Promise<Result> {
  const times: number[] = []
  const until = performance.now() + SECONDS * 1000
  const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'Hello' }], max_tokens: 8 })
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const headers = {
    'content-type': 'application/json',
    'content-length': body.length,
    authorization: 'Bearer sk-bench',
  }
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const begun = performance.now()
      const sent = request(`${base}/v1/chat/completions`, { method: 'POST', agent, headers }, (response) => {
        response.resume()
        response.once('end', () => {
          times.push(performance.now() - begun)
          if (response.statusCode === 200) resolve()
          else reject(new Error(`${what}: ${response.statusCode}`))
        })
      })
      sent.once('error', reject)
      sent.end(body)
    })
  const client = async () => {
    while (performance.now() < until) await one()
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, client))
  agent.destroy()
  const sorted = times.slice(Math.floor(times.length / 5)).sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? Number.NaN
  console.log(
    `${what}: ${times.length} in ${SECONDS} s, p50 ${at(0.5).toFixed(2)} ms, p99 ${at(0.99).toFixed(2)} ms`,
  )
  return { p50: at(0.5), p99: at(0.99) }
}

const added = (through: Result, alone: Result, which: 'p50' | 'p99') =>
  Math.round((through[which] - alone[which]) * 100) / 100

async function throughput(url: string): Promise<number> {
  const body = JSON.stringify({
    model: 'bench/fast',
    messages: [{ role: 'user', content: 'Hello' }],
    max_tokens: 8,
  })
  const headers = { 'content-type': 'application/json' }
  const options = { url: `${url}/v1/chat/completions`, method: 'POST' as const, headers, body }
  const result = await autocannon({ ...options, connections: CONNECTIONS, duration: SECONDS })
  if (result.non2xx > 0 || result.errors > 0)
    throw new Error(`${result.non2xx} refused, ${result.errors} failed`)
  return Math.round(result.requests.total / result.duration)
}

async function beside(dir: string, upstream: string, alone: Result, rows: Row[]): Promise<void> {
  const python = await pythonWith('litellm-1.110.2', [LITELLM])
  const port = await freePort()
  const config = join(dir, 'litellm.yaml')
  const params = { model: 'openai/mock', api_base: `${upstream}/v1`, api_key: 'bench-key' }
  await writeFile(config, JSON.stringify({ model_list: [{ model_name: 'mock', litellm_params: params }] }))
  const program = join(python, '..', 'litellm')
  const child = spawn(program, ['--config', config, '--port', `${port}`, '--host', '127.0.0.1'], {
    stdio: 'ignore',
  })
  try {
    await until200(`http://127.0.0.1:${port}/health/liveliness`, 120_000)
    const theirs = await shoot('behind LiteLLM', `http://127.0.0.1:${port}`, 'mock')
    for (const [row, which] of [
      [rows[0], 'p50'],
      [rows[1], 'p99'],
    ] as const) {
      const value = added(theirs, alone, which)
      if (row)
        Object.assign(row, {
          peer: LITELLM,
          peer_value: value,
          ratio: Math.round((row.value / value) * 1000) / 1000,
        })
    }
  } finally {
    child.kill()
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}
