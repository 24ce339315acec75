// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  compileConfig,
  compileFiles,
  createServices,
  respond,
  type StreamEvent,
  startStream,
} from '../index.ts'
import { type Script, type SeenCall, said, scriptedModel } from '../testing.ts'
import type { EngineServices } from './compiled.ts'
import { checkTurn, type TurnRequest } from './engine.ts'

const open: EngineServices[] = []
after(() => Promise.all(open.map((s) => s.regex.close())))

const PROMPTS = [
  { task: 'self_check_input', content: 'IN {{ user_input }}' },
  { task: 'self_check_output', content: 'OUT {{ bot_response }}' },
  { task: 'self_check_facts', content: 'FACTS {{ evidence }} / {{ response }}' },
  { task: 'self_check_hallucination', content: 'SAME {{ statement }} / {{ paragraph }}' },
  { task: 'llama_guard_check_input', content: 'GUARD {{ user_input }}' },
  { task: 'topic_safety_check_input $model=topic', content: 'Only talk about ships.' },
]
const model = (type: string) => ({
  type,
  engine: 'openai',
  model: type,
  parameters: { base_url: `http://${type}/v1` },
})

/** An engine on a scripted model, with some rails. */
function engine(script: Script, data: Record<string, unknown>, more: Partial<EngineServices> = {}) {
  const scripted = scriptedModel(script)
  const services = createServices({ nimUrl: 'http://nim/v1', fetch: scripted.fetch, ...more })
  open.push(services)
  const models = [model('llama_guard'), model('topic')]
  const config = compileConfig({ data: { models, prompts: PROMPTS, ...data } }, services)
  const request = (content: string, rest: Partial<TurnRequest> = {}): TurnRequest => ({
    config,
    messages: [{ role: 'user', content }],
    model: 'm',
    ...rest,
  })
  return {
    calls: scripted.calls,
    config,
    services,
    ask: (content: string, rest: Partial<TurnRequest> = {}) => respond(request(content, rest), services),
    check: (content: string, rest: Partial<TurnRequest> = {}) => checkTurn(request(content, rest), services),
    stream: async (content: string) => {
      const { events } = await startStream(request(content), services)
      const all: StreamEvent[] = []
      for await (const event of events) all.push(event)
      return all
    },
  }
}

const lastSaid = (calls: SeenCall[]) => calls.slice(-1).map(said).join('')
const deltaOf = (chunk: Record<string, unknown>) =>
  (chunk.choices as { delta: { content?: string } }[])[0]?.delta.content ?? ''

const flows = (stage: string, ...names: string[]) => ({ rails: { [stage]: { flows: names } } })
const isJudge = (call: Parameters<Script>[0]) => /^(IN|OUT|FACTS|SAME|GUARD) /.test(said(call))

describe('a rail that cannot decide', () => {
  const down: Script = (call) => (isJudge(call) ? 503 : 'fine')
  test('blocks, says so, and tells the log', async () => {
    const told: string[] = []
    const e = engine(down, flows('input', 'self check input'), { onRailFailure: (f) => told.push(f.rail) })
    const { text, block, turn } = await e.ask('hello')
    assert.equal(text, "I'm sorry, an internal error has occurred.")
    assert.ok(block?.failed)
    assert.match(turn.failures[0]?.reason ?? '', /503.*the model is down/)
    assert.deepEqual(told, ['self check input'])
    assert.equal(turn.log.rails[0]?.additional_info?.failed, true)
  })
  test('lets the text pass where the configuration says so', async () => {
    const options = { 'self check input': { on_error: 'allow' } }
    const rails = { input: { flows: ['self check input'] }, config: { rail_options: options } }
    const { text, turn } = await engine(down, { rails }).ask('hello')
    assert.equal(text, 'fine')
    assert.equal(turn.failures.length, 1)
  })
  test('has a time of its own', async () => {
    const slow: Script = async (call) => {
      if (isJudge(call)) await sleep(5000, undefined, { ref: false })
      return 'No'
    }
    const options = { 'self check input': { timeout: 0.05 } }
    const rails = { input: { flows: ['self check input'] }, config: { rail_options: options } }
    const e = engine(slow, { rails })
    const { block, turn } = await e.ask('hello')
    assert.ok(block)
    assert.match(turn.failures[0]?.reason ?? '', /0\.05 s/)
    assert.ok(e.calls[0]?.aborted())
  })
  test('is given no half of a text that is longer than its prompt may be', async () => {
    const e = engine(() => 'No', flows('input', 'self check input'))
    const { block, turn } = await e.ask('x'.repeat(20_000))
    assert.ok(block)
    assert.match(turn.failures[0]?.reason ?? '', /max_length/)
    assert.equal(e.calls.length, 0)
  })
})

describe('rails side by side', () => {
  const both = ['self check input', 'llama guard check input']
  test('the first to block wins and stops the others', async () => {
    const script: Script = async (call) => {
      if (said(call).startsWith('GUARD')) return 'unsafe\nS2'
      await sleep(5000, undefined, { ref: false })
      return 'No'
    }
    const e = engine(script, { rails: { input: { flows: both, parallel: true } } })
    const begun = performance.now()
    const { block, turn } = await e.ask('hello')
    assert.equal(block?.rail, 'llama guard check input')
    assert.ok(performance.now() - begun < 2000)
    assert.ok(e.calls[0]?.aborted())
    const guard = turn.log.rails.find((r) => r.name === 'llama guard check input')
    assert.deepEqual(guard?.additional_info?.policy_violations, ['S2'])
  })
  test('a rail that changes the text keeps the order', () => {
    const rails = { input: { flows: [...both, 'mask sensitive data on input'], parallel: true } }
    assert.equal(engine(() => 'No', { rails }).config.parallel.input, false)
  })
  test('the model is asked beside the rails where that is permitted, and stopped when they block', async () => {
    const rails = { input: { flows: ['self check input'], speculative_generation: true } }
    const order: string[] = []
    const script: Script = async (call) => {
      order.push(isJudge(call) ? 'judge' : 'main')
      await sleep(isJudge(call) ? 20 : 100)
      return said(call).includes('bad') ? 'Yes' : 'No'
    }
    const e = engine(script, { rails })
    assert.equal((await e.ask('hello')).text, 'No')
    assert.deepEqual(order.sort(), ['judge', 'main'])
    assert.ok((await e.ask('bad')).block)
    const main = e.calls.filter((c) => !isJudge(c))
    assert.deepEqual([main[0]?.aborted(), main[1]?.aborted()], [false, true])
  })
})

describe('the text on its way', () => {
  test('what was masked is what later rails and the model see', async () => {
    const sensitive_data_detection = {
      input: { entities: ['EMAIL_ADDRESS'] },
      output: { entities: ['PHONE_NUMBER'] },
    }
    const rails = {
      config: { sensitive_data_detection },
      input: { flows: ['mask sensitive data on input', 'self check input'] },
      output: { flows: ['mask sensitive data on output'] },
    }
    const e = engine((call) => (isJudge(call) ? 'No' : 'call +49 30 1234567'), { rails })
    const { text, answer } = await e.ask('write to ada@example.org', {
      messages: [
        { role: 'system', content: 'Be brief.' },
        {
          role: 'user',
          content: [{ type: 'text', text: 'write to ada@example.org' }, { type: 'image_url' }],
        },
      ],
    })
    assert.deepEqual(e.calls.map(said), [
      'IN write to <EMAIL_ADDRESS>',
      'Be brief.\n[object Object],[object Object]',
    ])
    assert.equal(e.calls[1]?.body.messages[1].content[0].text, 'write to <EMAIL_ADDRESS>')
    assert.equal(text, 'call <PHONE_NUMBER>')
    assert.equal(answer?.choices[0]?.message.content, 'call <PHONE_NUMBER>')
  })
  test('instructions and chunks stand before the conversation, passthrough leaves it alone', async () => {
    const instructions = [{ type: 'general', content: 'You sell ships.' }]
    const context = { relevant_chunks: 'A sloop has one mast.' }
    const e = engine(() => 'ok', { instructions })
    await e.ask('hi', { context })
    assert.match(e.calls[0]?.body.messages[0].content, /You sell ships\.[\s\S]*one mast/)
    const plain = engine(() => 'ok', { instructions, passthrough: true })
    await plain.ask('hi', { parameters: { temperature: 0.5 }, options: { llm_params: { top_p: 0.1 } } })
    assert.deepEqual(plain.calls[0]?.body, {
      temperature: 0.5,
      top_p: 0.1,
      model: 'm',
      messages: [{ role: 'user', content: 'hi' }],
    })
  })
  test('facts are checked against the evidence when the context asks for it', async () => {
    const script: Script = (call) => (isJudge(call) ? 'no' : 'A sloop has three masts.')
    const e = engine(script, flows('output', 'self check facts'))
    assert.equal((await e.ask('masts?')).block, undefined)
    const context = { check_facts: true, relevant_chunks: 'A sloop has one mast.' }
    assert.equal((await e.ask('masts?', { context })).block?.rail, 'self check facts')
    assert.equal(lastSaid(e.calls), 'FACTS A sloop has one mast. / A sloop has three masts.')
  })
  test('an answer that other answers contradict is not given', async () => {
    let n = 0
    const script: Script = (call) => (isJudge(call) ? 'No' : `answer ${n++}`)
    const e = engine(script, flows('output', 'self check hallucination'))
    const { text } = await e.ask('who?', { context: { check_hallucination: true } })
    assert.equal(text, "I don't know the answer to that.")
    assert.match(lastSaid(e.calls), /^SAME answer 0 \/ answer 1\. answer 2/)
    assert.equal(e.calls[1]?.body.temperature, 1)
  })
  test('topic control sees the conversation after its rules', async () => {
    const script: Script = (call) => (call.url.includes('topic') ? 'off-topic' : 'ok')
    const e = engine(script, flows('input', 'topic safety check input $model=topic'))
    assert.ok((await e.ask('cars?')).block)
    const [system, user] = e.calls[0]?.body.messages ?? []
    assert.match(system.content, /^Only talk about ships\.[\s\S]*off-topic/)
    assert.deepEqual(user, { role: 'user', content: 'cars?' })
  })
})

describe('jailbreaks', () => {
  const heuristics = flows('input', 'jailbreak detection heuristics')
  test('by the perplexity of the whole and of the ends', async () => {
    const long = 'please '.repeat(40)
    const scores = (text: string) => (text.startsWith('zx') ? 3000 : text.length > 1000 ? 5 : 50)
    const e = engine(() => 'ok', heuristics, { perplexity: async (text) => scores(text) })
    assert.equal((await e.ask(long)).block, undefined)
    assert.ok((await e.ask(`zx ${long}`)).block)
    assert.ok((await e.ask('a'.repeat(2000))).block)
    assert.equal((await e.ask('zx short')).block, undefined)
  })
  test('by the log-probabilities that the completions API echoes', async () => {
    const logprobs = {
      token_logprobs: [null, -1, -1, -9],
      text_offset: [0, 2, 4, 9],
      tokens: ['a', 'b', 'c', 'd'],
    }
    const script: Script = (call) =>
      call.url.endsWith('/completions') && call.body.echo ? { choices: [{ logprobs }] } : 'ok'
    const rails = {
      input: { flows: ['jailbreak detection heuristics'] },
      config: { jailbreak_detection: { length_per_perplexity_threshold: 3 } },
    }
    const e = engine(script, { rails })
    // 9 characters at a perplexity of e: 3.3, the generated token does not count
    assert.ok((await e.ask('12345678 ')).block)
    assert.deepEqual([e.calls[0]?.url, e.calls[0]?.body.logprobs], ['http://nim/v1/completions', 1])
  })
  test('by a classifier', async () => {
    const jailbreak_detection = { nim_base_url: 'http://guard/v1', api_key: 'k' }
    const rails = { input: { flows: ['jailbreak detection model'] }, config: { jailbreak_detection } }
    const e = engine((call) => (call.url.includes('guard') ? { jailbreak: true, score: 0.9 } : 'ok'), {
      rails,
    })
    assert.ok((await e.ask('x')).block)
    assert.deepEqual(
      [e.calls[0]?.url, e.calls[0]?.key, e.calls[0]?.body],
      ['http://guard/v1/classify', 'Bearer k', { input: 'x' }],
    )
  })
})

describe('tools', () => {
  const call = {
    id: '1',
    type: 'function',
    function: { name: 'sql', arguments: '{"q":"x; DROP TABLE users"}' },
  }
  const message = { role: 'assistant', content: null, tool_calls: [call] }
  const answer = { id: 'a', choices: [{ index: 0, message, finish_reason: 'tool_calls' }] }
  test('calls are checked before they are sent', async () => {
    const e = engine(() => answer, flows('tool_output', 'injection detection'))
    assert.equal((await e.ask('x')).block?.stage, 'tool_output')
    const free = await engine(() => answer, {}).ask('x')
    assert.equal(free.answer?.choices[0]?.message.tool_calls?.length, 1)
  })
  test('results are checked, and changed, before the model sees them', async () => {
    const sensitive_data_detection = { input: { entities: ['EMAIL_ADDRESS'] } }
    const rails = {
      config: { sensitive_data_detection },
      tool_input: { flows: ['mask sensitive data on input'] },
    }
    const e = engine(() => 'ok', { rails })
    const messages = [
      { role: 'user', content: 'who?' },
      message,
      { role: 'tool', tool_call_id: '1', content: 'ada@example.org' },
    ]
    await e.ask('', { messages })
    assert.equal(e.calls[0]?.body.messages[2].content, '<EMAIL_ADDRESS>')
  })
})

describe('streams', () => {
  const streaming = { enabled: true, chunk_size: 8, context_size: 3, stream_first: true }
  const words = Array.from({ length: 30 }, (_, i) => `w${i} `)
  const windows = (e: ReturnType<typeof engine>) => e.calls.map(said).filter((t) => t.startsWith('OUT'))
  test('windows slide with their context, whether text is sent first or after', async () => {
    for (const stream_first of [true, false]) {
      const rails = { output: { flows: ['self check output'], streaming: { ...streaming, stream_first } } }
      const e = engine((c) => (isJudge(c) ? (said(c).includes('w12') ? 'Yes' : 'No') : words), { rails })
      const got = await e.stream('hi')
      assert.equal(got.at(-1)?.type, 'stopped')
      assert.equal(got.length, stream_first ? 14 : 9)
      assert.deepEqual(windows(e), ['OUT w0 w1 w2 w3 w4 w5 w6 w7 ', 'OUT w5 w6 w7 w8 w9 w10 w11 w12 '])
    }
  })
  test('every text is in some window, and all of it comes when nothing blocks', async () => {
    const e = engine((c) => (isJudge(c) ? 'No' : words), {
      rails: { output: { flows: ['self check output'], streaming } },
    })
    const got = await e.stream('hi')
    const text = got.map((g) => (g.type === 'chunk' ? deltaOf(g.chunk) : '')).join('')
    assert.equal(text, words.join(''))
    for (const word of words)
      assert.ok(
        windows(e).some((w) => w.includes(word)),
        word,
      )
  })
  test('an answer that may not stream is checked whole and sent at once', async () => {
    const sensitive_data_detection = { output: { entities: ['EMAIL_ADDRESS'] } }
    const rails = {
      config: { sensitive_data_detection },
      output: { flows: ['mask sensitive data on output'] },
    }
    const got = await engine(() => 'to ada@example.org', { rails }).stream('hi')
    assert.deepEqual(
      got.map((g) => (g.type === 'answer' ? g.text : g.type)),
      ['to <EMAIL_ADDRESS>'],
    )
  })
  test('a model that refuses is an error before the stream', async () => {
    await assert.rejects(engine(() => 404, {}).stream('hi'), { name: 'ModelError', status: 404 })
  })
})

describe('Colang files', () => {
  const files = {
    'config.yml': 'models: []\nrails:\n  input:\n    flows: [check words]\n',
    'rails/words.co':
      'define bot refuse to respond\n  "Not here."\n\ndefine flow check words\n  if "rude" in $user_message\n    bot refuse to respond\n    stop\n',
    'kb/ships.md': '# Sloops\nA sloop has one mast.\n\n# Brigs\nA brig has two masts.\n',
  }
  test('flows of the user are rails, their messages go before the engine’s, and kb answers retrieval', async () => {
    const scripted = scriptedModel(() => 'ok')
    const services = createServices({ nimUrl: 'http://nim/v1', fetch: scripted.fetch })
    open.push(services)
    const config = compileFiles(files, services)
    const ask = (content: string) =>
      respond({ config, messages: [{ role: 'user', content }], model: 'm' }, services)
    const rude = await ask('a rude word')
    assert.deepEqual([rude.text, rude.block?.rail, scripted.calls.length], ['Not here.', 'check words', 0])
    assert.equal((await ask('how many masts has a brig?')).text, 'ok')
    assert.match(scripted.calls[0]?.body.messages[0].content, /Brigs\nA brig has two masts/)
  })
})
