// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import autocannon from 'autocannon'
import { type Bench, freePorts, launch, median, pythonWith, type Row, until200, withFolder } from './lib.ts'

const CONNECTIONS = 32
const SECONDS = 8
const ROUNDS = 3
const ROUND_SECONDS = 4
/** What the mock upstream takes for an answer at least; up to 15 ms more, so that the clients do not march in step. */
const DELAY_MS = 20
/** The newest one whose parts are all on PyPI. */
const LITELLM = 'litellm[proxy]==1.106.12'
/** LiteLLM does not start without one; the others do not ask for it. */
const KEY = `sk-${randomBytes(24).toString('hex')}`

/**
 * What passing a chat through to an upstream adds, at 32 connections: the mock upstream alone, behind the NIM, and
 * (NEMO_BENCH_LITELLM=1) behind LiteLLM's proxy, one after the other in rounds. The mock says in each answer how long
 * it held the request, and that time is taken off: what is left is the way there and back, whose percentiles are
 * compared. Percentiles of whole latencies would be those of the mock's own delays.
 */
export const bench: Bench = {
  run: () =>
    withFolder(async (dir) => {
      const [port = 0] = await freePorts(1)
      const mock = spawn(process.execPath, ['-e', MOCK, `${port}`, `${DELAY_MS}`], { stdio: 'ignore' })
      const upstream = `http://127.0.0.1:${port}`
      const endpoint = { url: `${upstream}/v1`, model_id: 'mock', api_key: 'bench-key' }
      const entry = { kind: 'upstream', id: 'bench/mock', api_endpoint: endpoint }
      const running = await prepared(join(dir, 'home'), entry)
      let peer: Peer | undefined
      try {
        await until200(upstream, 10_000)
        if (process.env.NEMO_BENCH_LITELLM) peer = await startLitellm(dir, upstream)
        await until200(`${running.urls.nim}/v1/health/live`, 120_000)
        const ways: Way[] = [
          { what: 'upstream alone', base: upstream, model: 'mock' },
          { what: 'behind the NIM', base: running.urls.nim, model: 'bench/mock' },
          ...(peer ? [{ what: 'behind LiteLLM', base: peer.base, model: 'mock' }] : []),
        ]
        const whole = await inRounds(ways, false)
        const streamed = await inRounds(ways, true)
        return [
          row('proxy.added_p50_ms.c32', 'p50', whole, 0.7),
          row('proxy.added_p99_ms.c32', 'p99', whole, 3),
          row('proxy.added_first_chunk_p50_ms.c32', 'p50', streamed, 1),
          {
            name: 'proxy.requests_per_s',
            value: await throughput(running.urls.nim),
            unit: '1/s',
            target: 2000,
          },
        ]
      } finally {
        peer?.stop()
        mock.kill()
        await running.stop()
      }
    }),
}

/** Answers as an OpenAI server does; how long it held the request stands in the answer. */
const MOCK = `
const [port, delay] = process.argv.slice(1).map(Number)
const facts = { id: 'x', created: 1, model: 'mock' }
const whole = (held) => JSON.stringify({ ...facts, object: 'chat.completion',
  choices: [{ index: 0, message: { role: 'assistant', content: 'held ' + held + ' ms' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 } })
const chunk = (delta, finish_reason = null) => 'data: ' + JSON.stringify({ ...facts,
  object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] }) + '\\n\\n'
let turn = 0
require('node:http').createServer((request, response) => {
  const begun = performance.now()
  const wait = request.url.includes('fast') ? 0 : delay + (turn++ * 7) % 16
  let body = ''
  request.on('data', (some) => { body += some })
  request.on('end', () => setTimeout(() => {
    const held = (performance.now() - begun).toFixed(3)
    if (!body.includes('"stream":true')) {
      const answer = whole(held)
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length })
      return response.end(answer)
    }
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(chunk({ role: 'assistant', content: 'held ' + held + ' ms' }))
    setTimeout(() => response.write(chunk({ content: ' and' })), 5)
    setTimeout(() => response.end(chunk({}, 'stop') + 'data: [DONE]\\n\\n'), 10)
  }, wait))
}).listen(port, '127.0.0.1')
`

interface Way {
  what: string
  base: string
  model: string
}

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

/** Each way in turn, some rounds of all: the median of each way's rounds. */
async function inRounds(ways: Way[], stream: boolean): Promise<Result[]> {
  const rounds: Result[][] = []
  for (let round = 0; round < ROUNDS; round++) {
    const results: Result[] = []
    for (const way of ways) results.push(await shoot(way, stream))
    rounds.push(results)
  }
  const middle = (i: number, which: keyof Result) =>
    median(rounds.map((round) => round[i]?.[which] ?? Number.NaN))
  return ways.map((_, i) => ({ p50: middle(i, 'p50'), p99: middle(i, 'p99') }))
}

/** Times without what the mock held, by our own clock: autocannon's are whole milliseconds. */
async function shoot({ what, base, model }: Way, stream: boolean): Promise<Result> {
  const times: number[] = []
  const until = performance.now() + ROUND_SECONDS * 1000
  const messages = [{ role: 'user', content: 'Hello' }]
  const body = JSON.stringify({ model, messages, max_tokens: 8, ...(stream ? { stream } : {}) })
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const headers = {
    'content-type': 'application/json',
    'content-length': body.length,
    authorization: `Bearer ${KEY}`,
  }
  const one = () =>
    new Promise<void>((resolve, reject) => {
      const begun = performance.now()
      let arrived = 0
      let text = ''
      const sent = request(`${base}/v1/chat/completions`, { method: 'POST', agent, headers }, (response) => {
        response.on('data', (some: Buffer) => {
          text += some
          // A whole answer is there with its last byte, a stream with its first chunk.
          if (!stream || arrived === 0) arrived = performance.now()
        })
        response.once('end', () => {
          const held = Number(/held ([\d.]+) ms/.exec(text)?.[1] ?? Number.NaN)
          times.push(arrived - begun - held)
          if (response.statusCode === 200 && held >= DELAY_MS - 2) resolve()
          else reject(new Error(`${what}: ${response.statusCode} ${text.slice(0, 500)}`))
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
  const ways = `p50 ${at(0.5).toFixed(2)} ms, p99 ${at(0.99).toFixed(2)} ms on the way`
  console.log(`${what}${stream ? ', streamed' : ''}: ${times.length} in ${ROUND_SECONDS} s, ${ways}`)
  return { p50: at(0.5), p99: at(0.99) }
}

/** What the NIM adds to the upstream alone, beside what LiteLLM adds where it ran. */
function row(name: string, which: keyof Result, [alone, ours, theirs]: Result[], target: number): Row {
  const added = (through: Result | undefined) =>
    Math.round(((through?.[which] ?? Number.NaN) - (alone?.[which] ?? Number.NaN)) * 100) / 100
  const value = added(ours)
  if (!theirs) return { name, value, unit: 'ms', target }
  const peer_value = added(theirs)
  const ratio = Math.round((value / peer_value) * 1000) / 1000
  return { name, value, unit: 'ms', target, peer: LITELLM, peer_value, ratio }
}

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

interface Peer {
  base: string
  stop(): void
}

async function startLitellm(dir: string, upstream: string): Promise<Peer> {
  const python = await pythonWith('litellm-1.106.12', [LITELLM])
  const [port = 0] = await freePorts(1)
  const base = `http://127.0.0.1:${port}`
  const config = join(dir, 'litellm.yaml')
  const params = { model: 'openai/mock', api_base: `${upstream}/v1`, api_key: 'bench-key' }
  await writeFile(config, JSON.stringify({ model_list: [{ model_name: 'mock', litellm_params: params }] }))
  const args = [
    '-m',
    'litellm.proxy.proxy_cli',
    '--config',
    config,
    '--port',
    `${port}`,
    '--host',
    '127.0.0.1',
  ]
  const child = spawn(python, args, { env: { ...process.env, LITELLM_MASTER_KEY: KEY }, stdio: 'ignore' })
  const stop = () => void child.kill()
  await until200(`${base}/health/liveliness`, 120_000).catch((err: unknown) => {
    stop()
    throw err
  })
  return { base, stop }
}
