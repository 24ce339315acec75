// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bench, freePorts, median, pythonWith, ROOT, type Row, until200, withFolder } from './lib.ts'

/** What the mock models take: the judge twice, and the model once, one after the other. */
const JUDGE_MS = 20
const MAIN_MS = 60
const PEER = 'nemoguardrails[server]==0.24.1'
const CONNECTIONS = [1, 8, 32]
const SECONDS = 6

/**
 * What the rails themselves add to a guarded chat: its time less that of its three calls to the models, two mocks.
 * `nemoguardrails` runs the same configuration on the same mocks beside it (NEMO_BENCH_PEER=0 leaves it out).
 */
export const bench: Bench = {
  run: () =>
    withFolder(async (dir) => {
      const [judge = 0, main = 0, ours = 0, peer = 0, intent = 0] = await freePorts(5)
      const children = [
        mock(judge, JUDGE_MS, 'No'),
        mock(main, MAIN_MS, 'Hello there.'),
        mock(intent, MAIN_MS, 'express greeting'),
      ]
      try {
        await writeConfig(join(dir, 'store/bench'), judge, main)
        await writeConfig(join(dir, 'store/dialog'), judge, intent, DIALOG)
        children.push(serve(dir, ours))
        await until200(`http://127.0.0.1:${ours}/v1/health`, 60_000)
        const base = `http://127.0.0.1:${ours}/v1/guardrail`
        const dialogs = await dialogRows(base, judge, intent)
        const alone = await modelTimes([judge, main, judge])
        const measured = await measure('ours', base, alone)
        const peers = await peerTimes(dir, peer, children, alone)
        const rows = CONNECTIONS.map((c): Row => {
          const value = measured.get(c) ?? Number.NaN
          const row: Row = { name: `guardrails.overhead_p50_ms.c${c}`, value, unit: 'ms' }
          if (c !== 8) row.target = c === 1 ? 5 : 15
          const peer_value = peers?.get(c)
          if (peer_value === undefined) return row
          return { ...row, peer: PEER, peer_value, ratio: Math.round((value / peer_value) * 1000) / 1000 }
        })
        return [...rows, ...dialogs]
      } finally {
        for (const child of children) child.kill()
      }
    }),
}

const MOCK = `
const [port, delay, text] = [Number(process.argv[1]), Number(process.argv[2]), process.argv[3]]
const answer = JSON.stringify({ id: 'x', object: 'chat.completion', created: 1, model: 'mock',
  choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 } })
require('node:http').createServer((request, response) => {
  request.resume()
  request.on('end', () => setTimeout(() => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': answer.length })
    response.end(answer)
  }, delay))
}).listen(port, '127.0.0.1')
`

const mock = (port: number, delay: number, text: string) =>
  spawn(process.execPath, ['-e', MOCK, `${port}`, `${delay}`, text], { stdio: 'ignore' })

/** The flow that answers, among a hundred others with their examples. */
const DIALOG = [
  'define user express greeting\n  "hello"\n\ndefine bot express greeting\n  "Hello there."\n',
  'define flow greeting\n  user express greeting\n  bot express greeting\n',
  ...Array.from(
    { length: 100 },
    (_, i) =>
      `define user ask about ${i}\n  "what about thing number ${i}"\n  "tell me of ${i}"\n\n` +
      `define flow about ${i}\n  user ask about ${i}\n  bot inform about ${i} "This is ${i}."\n`,
  ),
].join('\n')

/** What a dialog adds to its two calls: the judge of the input, and the model that names the intent. */
async function dialogRows(base: string, judge: number, intent: number): Promise<Row[]> {
  const alone = await modelTimes([judge, intent])
  const measured = await measure('a dialog', base, alone, 'dialog')
  return CONNECTIONS.map((c): Row => {
    const row: Row = {
      name: `guardrails.dialog_overhead_p50_ms.c${c}`,
      value: measured.get(c) ?? Number.NaN,
      unit: 'ms',
    }
    return c === 8 ? row : { ...row, target: c === 1 ? 5 : 15 }
  })
}

async function writeConfig(dir: string, judge: number, main: number, colang?: string): Promise<void> {
  await mkdir(dir, { recursive: true })
  const model = (type: string, port: number) =>
    `  - {type: ${type}, engine: openai, model: mock, parameters: {base_url: "http://127.0.0.1:${port}/v1"}}\n`
  const models = model('main', main) + model('self_check_input', judge) + model('self_check_output', judge)
  const prompt = (task: string, value: string) =>
    `  - {task: ${task}, content: "Block this? {{ ${value} }}"}\n`
  await writeFile(
    join(dir, 'config.yml'),
    `models:\n${models}rails:\n  input: {flows: [self check input]}\n  output: {flows: [self check output]}\n` +
      `prompts:\n${prompt('self_check_input', 'user_input')}${prompt('self_check_output', 'bot_response')}`,
  )
  if (colang) await writeFile(join(dir, 'rails.co'), colang)
}

function serve(dir: string, port: number) {
  const nemoctl = join(ROOT, 'packages', 'cli', 'bin', 'nemoctl.mjs')
  return spawn(process.execPath, [nemoctl, 'serve', 'guardrails'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      ...process.env,
      NEMO_HOME: join(dir, 'home'),
      CONFIG_STORE_PATH: join(dir, 'store'),
      PORT: `${port}`,
      LOG_LEVEL: 'warn',
    },
  })
}

async function peerTimes(
  dir: string,
  port: number,
  children: { kill(): unknown }[],
  alone: Map<number, number>,
): Promise<Map<number, number> | undefined> {
  if (process.env.NEMO_BENCH_PEER === '0') return undefined
  const python = await pythonWith('nemoguardrails-0.24.1-yara', [PEER, 'yara-python'])
  const args = ['-m', 'nemoguardrails', 'server', '--config', join(dir, 'store'), '--port', `${port}`]
  children.push(spawn(python, args, { stdio: 'ignore', env: { ...process.env, OPENAI_API_KEY: 'none' } }))
  await until200(`http://127.0.0.1:${port}/v1/rails/configs`, 120_000)
  return measure('nemoguardrails', `http://127.0.0.1:${port}/v1`, alone)
}

/** Median time of a guarded chat less the models' own, by the number of connections. */
async function measure(
  who: string,
  base: string,
  alone: Map<number, number>,
  config = 'bench',
): Promise<Map<number, number>> {
  const ask = (agent: Agent) => post(agent, `${base}/chat/completions`, 'Hello there.', bodyOf(config))
  await shoot(ask, 1, 2)
  const out = new Map<number, number>()
  for (const c of CONNECTIONS) {
    const times = await shoot(ask, c, SECONDS)
    const own = median(times) - (alone.get(c) ?? 0)
    out.set(c, Math.round(own * 100) / 100)
    console.log(
      `${who}, ${c} at once: ${times.length} chats, median ${median(times).toFixed(1)} ms, own ${own.toFixed(2)} ms`,
    )
    await sleep(500)
  }
  return out
}

/** Median time of the calls of a guarded chat when nothing is between them and the mocks. */
async function modelTimes(ports: number[]): Promise<Map<number, number>> {
  const url = (port: number) => `http://127.0.0.1:${port}/v1/chat/completions`
  const calls = async (agent: Agent) => {
    for (const port of ports) await post(agent, url(port), 'choices', bodyOf('bench'))
  }
  const out = new Map<number, number>()
  for (const c of CONNECTIONS) {
    out.set(c, median(await shoot(calls, c, SECONDS / 2)))
    console.log(`the models alone, ${c} at once: median ${out.get(c)?.toFixed(1)} ms`)
  }
  return out
}

const bodyOf = (config_id: string) =>
  JSON.stringify({
    model: 'mock',
    messages: [{ role: 'user', content: 'What can you do for me?' }],
    guardrails: { config_id },
  })

function post(agent: Agent, url: string, wanted: string, body: string): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const sent = request(url, { method: 'POST', agent, headers }, (response) => {
      let text = ''
      response.on('data', (chunk) => {
        text += chunk
      })
      response.once('end', () => {
        if (text.includes(wanted)) resolve()
        else reject(new Error(`${url}: ${response.statusCode} ${text.slice(0, 500)}`))
      })
    })
    sent.once('error', reject)
    sent.end(body)
  })
}

async function shoot(
  work: (agent: Agent) => Promise<void>,
  connections: number,
  seconds: number,
): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const times: number[] = []
  const until = performance.now() + seconds * 1000
  const client = async () => {
    while (performance.now() < until) {
      const begun = performance.now()
      await work(agent)
      times.push(performance.now() - begun)
    }
  }
  await Promise.all(Array.from({ length: connections }, client))
  agent.destroy()
  return times
}
