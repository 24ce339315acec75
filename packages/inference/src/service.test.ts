// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, beforeEach, test } from 'node:test'
import { EngineError } from './engine/types.ts'
import { startTestService } from './testing.ts'

const t = await startTestService()
after(() => t.stop())
beforeEach(() => {
  t.engine.script = ['Hel', 'lo']
  t.engine.asked = []
  t.engine.loading = undefined
})

const MODEL = 'smollm2/smollm2-135m-instruct'
const messages = [{ role: 'user', content: 'Hi' }]
const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }]
const chat = (more: object = {}) => t.post('/v1/chat/completions', { model: MODEL, messages, ...more })

async function events(response: Response) {
  const lines = (await response.text()).split('\n\n').filter(Boolean)
  assert.ok(lines.every((l) => l.startsWith('data: ')))
  return lines.map((l) => (l === 'data: [DONE]' ? 'DONE' : JSON.parse(l.slice(6))))
}

test('a chat answers in the shape of OpenAI, rendered by the stored template, with defaults', async () => {
  const body = await (await chat()).json()
  assert.equal(body.object, 'chat.completion')
  assert.deepEqual(body.choices, [
    { index: 0, message: { role: 'assistant', content: 'Hello' }, finish_reason: 'stop', logprobs: null },
  ])
  assert.deepEqual(body.usage, {
    prompt_tokens: 10,
    completion_tokens: 2,
    total_tokens: 12,
    prompt_tokens_details: { cached_tokens: 4 },
  })
  const [asked] = t.engine.asked
  assert.match(
    JSON.stringify(asked?.prompt),
    /im_start\|>user\\nHi<\|im_end\|>\\n<\|im_start\|>assistant\\n"/,
  )
  assert.equal(asked?.maxTokens, 512)
  assert.equal(asked?.repeatable, false)
})

test('sampling parameters reach the engine', async () => {
  await chat({ seed: -5, temperature: 1.5, top_p: 0.5, stop: 'X', max_tokens: 7, n: 2, top_k: -1 })
  assert.deepEqual(
    t.engine.asked.map((a) => [a.seed, a.temperature, a.topP, a.stop, a.maxTokens, a.repeatable, a.topK]),
    [
      [5, 1.5, 0.5, ['X'], 7, true, 0],
      [6, 1.5, 0.5, ['X'], 7, true, 0],
    ],
  )
  await chat({ max_completion_tokens: 3, max_tokens: 9, seed: 2 ** 40 })
  assert.equal(t.engine.asked.at(-1)?.maxTokens, 3)
})

test('a stream begins with the role, ends with the reason, usage when asked, and DONE', async () => {
  const got = await events(await chat({ stream: true, stream_options: { include_usage: true } }))
  assert.deepEqual(
    got.slice(0, -2).map((e) => [e.choices[0].delta, e.choices[0].finish_reason, e.usage]),
    [
      [{ role: 'assistant', content: '' }, null, null],
      [{ content: 'Hel' }, null, null],
      [{ content: 'lo' }, null, null],
      [{}, 'stop', null],
    ],
  )
  assert.deepEqual(got.at(-2).choices, [])
  assert.equal(got.at(-2).usage.total_tokens, 12)
  assert.equal(got.at(-1), 'DONE')
  const without = await events(await chat({ stream: true }))
  assert.ok(without.slice(0, -1).every((e) => !('usage' in e)))
})

test('tool calls are read from the text, streamed or not', async () => {
  t.engine.script = ['<tool_', 'call>\n{"name": "f", "argum', 'ents": {"a": 1}}\n</tool_call>']
  const { choices } = await (await chat({ tools })).json()
  assert.equal(choices[0].finish_reason, 'tool_calls')
  assert.equal(choices[0].message.content, null)
  assert.deepEqual(choices[0].message.tool_calls[0].function, { name: 'f', arguments: '{"a": 1}' })
  const got = await events(await chat({ tools, stream: true }))
  const call = got.find((e) => e.choices?.[0]?.delta.tool_calls)
  assert.equal(call.choices[0].delta.tool_calls[0].function.arguments, '{"a": 1}')
  const plain = await (await chat({ tools, tool_choice: 'none' })).json()
  assert.match(plain.choices[0].message.content, /^<tool_call>/)
})

test('grammars go to the engine for forced tools and JSON', async () => {
  await chat({ tools, tool_choice: 'required' })
  assert.match(t.engine.asked[0]?.grammar ?? '', /tool_call/)
  await chat({ response_format: { type: 'json_object' } })
  assert.match(t.engine.asked[1]?.grammar ?? '', /^root ::= object/)
  await chat({ tools })
  assert.equal(t.engine.asked[2]?.grammar, undefined)
})

test('log-probabilities in both shapes', async () => {
  const body = await (await chat({ logprobs: true, top_logprobs: 1 })).json()
  assert.deepEqual(body.choices[0].logprobs.content[0], {
    token: 'Hel',
    logprob: -0.5,
    bytes: [72, 101, 108],
    top_logprobs: [{ token: 'Hel', logprob: -0.5, bytes: [72, 101, 108] }],
  })
  const text = await (await t.post('/v1/completions', { model: MODEL, prompt: 'x', logprobs: 1 })).json()
  assert.deepEqual(text.choices[0].logprobs.text_offset, [0, 3])
})

test('completions take a text, texts or token ids, and echo', async () => {
  const ask = (more: object) => t.post('/v1/completions', { model: MODEL, ...more })
  const several = await (await ask({ prompt: ['a', 'b'], n: 2, echo: true })).json()
  assert.deepEqual(
    several.choices.map((c: { text: string }) => c.text),
    ['aHello', 'aHello', 'bHello', 'bHello'],
  )
  assert.equal(several.usage.prompt_tokens, 20)
  await ask({ prompt: [1, 2] })
  assert.deepEqual(t.engine.asked.at(-1)?.prompt, { tokens: [1, 2] })
  const got = await events(await ask({ prompt: 'a', stream: true }))
  assert.equal(got.map((e) => (e === 'DONE' ? '' : e.choices[0].text)).join(''), 'Hello')
})

test('log-probabilities of the prompt come in OpenAI’s older shape, as lm-eval reads them', async () => {
  const body = { model: MODEL, prompt: 'one two', echo: true, logprobs: 1, max_tokens: 1, temperature: 0 }
  t.engine.script = ['!']
  const answer = await (await t.post('/v1/completions', body)).json()
  assert.equal(answer.choices[0].text, 'one two!')
  assert.deepEqual(answer.choices[0].logprobs, {
    tokens: ['one', ' two', '!'],
    token_logprobs: [null, -1, -0.5],
    top_logprobs: [null, { ' two': -1, best: -0.25 }, { '!': -0.5 }],
    text_offset: [0, 3, 7],
  })
  assert.deepEqual(t.engine.asked[0]?.echo, { logprobs: 1, weights: '/floats.gguf' })
  const lists = { ...body, prompt: [[1, 2], [3]], max_tokens: 0, stream: true }
  t.engine.script = []
  const got = await events(await t.post('/v1/completions', lists))
  const heads = got.filter((e) => e !== 'DONE' && e.choices[0].text)
  assert.deepEqual(
    heads.map((e) => [e.choices[0].index, e.choices[0].text, e.choices[0].logprobs.text_offset]),
    [
      [0, '<1><2>', [0, 3]],
      [1, '<3>', [0]],
    ],
  )
})

test('what is wrong is named, with OpenAI’s shape beside detail', async () => {
  const overflow = new EngineError('context_overflow', 'x', { promptTokens: 9000, contextSize: 2048 })
  const cases: [object, number, RegExp, Error?][] = [
    [{ model: 'a/b' }, 404, /a\/b does not exist. Use one of: smollm2/],
    [{ model: 'meta/llama-3.2-1b-instruct' }, 404, /with NEMO_LLAMA_ALIASES=true/],
    [{ messages: [] }, 422, /at least one message/],
    [{ max_tokens: 0 }, 422, /max_tokens/],
    [{ messages: [{ role: 'robot', content: '' }] }, 400, /robot/],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 400, /image_url.*text only/],
    [{ logit_bias: { 1: 5 } }, 400, /logit_bias/],
    [{ best_of: 2 }, 400, /best_of/],
    [{ functions: [{}] }, 400, /tools/],
    [{}, 400, /9000 tokens.*2048/, overflow],
    [{}, 503, /ended while/, new EngineError('crashed', 'SIGSEGV')],
    [{}, 429, /3 requests/, new EngineError('busy', 'x', { waiting: 3 })],
    [{}, 400, /cannot be enforced: left recursion/, new EngineError('bad_grammar', 'left recursion')],
  ]
  for (const [more, status, message, err] of cases) {
    t.engine.script = err ? [err] : ['x']
    for (const stream of [false, true]) {
      const response = await chat({ ...more, stream })
      assert.equal(response.status, status, JSON.stringify(more))
      const body = await response.json()
      assert.match(body.error.message, message)
      assert.ok(body.detail)
    }
  }
})

test('a failure in the middle of a stream is an event that clients raise', async () => {
  t.engine.script = ['a', new EngineError('crashed', 'SIGSEGV')]
  const got = await events(await chat({ stream: true }))
  assert.equal(got.at(-1).error.code, 'ENGINE_ENDED')
  assert.ok(!got.includes('DONE'))
})

const EMBEDDER = 'sentence-transformers/all-MiniLM-L6-v2'

test('embeddings in every shape of input, both encodings and fewer dimensions', async () => {
  const embed = (more: object) => t.post('/v1/embeddings', { model: EMBEDDER, input: 'a', ...more })
  const body = await (await embed({ input: ['a b', 'b'], input_type: 'query' })).json()
  assert.deepEqual(t.engine.embedded.at(-1), [
    [2, 3, 4, 5],
    [2, 4, 5],
  ])
  assert.equal(body.object, 'list')
  assert.deepEqual(
    body.data.map((d: { embedding: number[]; index: number }) => [
      d.index,
      d.embedding.map((v) => v.toFixed(3)),
    ]),
    [
      [0, ['0.600', '0.800']],
      [1, ['0.000', '1.000']],
    ],
  )
  assert.deepEqual(body.usage, { prompt_tokens: 7, total_tokens: 7 })
  const base64 = (await (await embed({ encoding_format: 'base64' })).json()).data[0].embedding
  assert.deepEqual(Buffer.from(base64, 'base64').readFloatLE(4), Math.fround(0.8))
  assert.deepEqual((await (await embed({ dimensions: 1 })).json()).data[0].embedding, [1])
  for (const input of [[3, 4], [[2, 3, 4, 5]]]) await embed({ input })
  assert.deepEqual(t.engine.embedded.slice(-2), [[[2, 3, 4, 5]], [[2, 3, 4, 5]]])
})

test('what is wrong with a prompt is at the field that has it', async () => {
  const overflow = new EngineError('context_overflow', 'x', { promptTokens: 9000, contextSize: 2048 })
  for (const err of [overflow, new EngineError('bad_token', 'no'), new EngineError('empty_prompt', 'no')]) {
    t.engine.script = [err]
    for (const [path, field, body] of [
      ['completions', 'prompt', { prompt: 'x' }],
      ['chat/completions', 'messages', { messages }],
    ] as const) {
      const response = await t.post(`/v1/${path}`, { model: MODEL, ...body })
      assert.deepEqual([response.status, (await response.json()).error.param], [400, field])
    }
  }
  t.engine.script = ['Hel', 'lo']
})

test('more answers than the queue and all sequences can hold are refused for good', async () => {
  const small = await startTestService({ NEMO_ENGINE_QUEUE: '1' })
  const prompt = Array.from({ length: 256 }, () => 'a')
  const requests = [
    { path: 'completions', field: 'prompt', body: { prompt } },
    { path: 'chat/completions', field: 'n', body: { messages, n: 16 } },
  ]
  for (const { path, field, body } of requests) {
    const response = await small.post(`/v1/${path}`, { model: MODEL, ...body })
    const { error } = await response.json()
    assert.deepEqual([response.status, error.code, error.param], [400, 'TOO_MANY_ANSWERS', field])
  }
  await small.stop()
})

test('more embedding requests than the queue has places are told to come back', async () => {
  const small = await startTestService({ NEMO_ENGINE_QUEUE: '1' })
  const body = { model: EMBEDDER, input: 'a' }
  const answers = await Promise.all([1, 2].map(() => small.post('/v1/embeddings', body)))
  assert.deepEqual(answers.map((a) => a.status).sort(), [200, 429])
  assert.ok(answers.find((a) => a.status === 429)?.headers.get('retry-after'))
  assert.equal((await small.post('/v1/embeddings', body)).status, 200)
  await small.stop()
})

test('a long input is refused or cut at the asked end; what does not fit is named', async () => {
  const long = `a ${'b '.repeat(600)}`
  const embed = (more: object) => t.post('/v1/embeddings', { model: EMBEDDER, input: long, ...more })
  await embed({ truncate: 'END' })
  assert.deepEqual(t.engine.embedded.at(-1)?.[0]?.slice(0, 3), [2, 3, 4])
  await embed({ truncate: 'START' })
  assert.deepEqual(t.engine.embedded.at(-1)?.[0]?.slice(0, 2), [2, 4])
  assert.equal(t.engine.embedded.at(-1)?.[0]?.length, 512)
  const cases: [string, object, number, RegExp][] = [
    ['/v1/embeddings', { input: long }, 400, /input 0 has 603 tokens.*512.*truncate/],
    ['/v1/embeddings', { input: 'a', dimensions: 3 }, 400, /has 2 dimensions/],
    ['/v1/embeddings', { input: [99] }, 400, /token 99/],
    ['/v1/embeddings', { input: [] }, 422, /input/],
    ['/v1/embeddings', { input: 'a', truncate: 'MIDDLE' }, 422, /truncate/],
    ['/v1/embeddings', { model: MODEL, input: 'a' }, 400, /Use sentence-transformers/],
    ['/v1/chat/completions', { messages }, 400, /embeds text.*embeddings/],
    ['/v1/ranking', { model: MODEL, query: { text: 'a' }, passages: [] }, 404, /api_endpoint/],
    ['/v1/classify', { model: MODEL, input: 'a' }, 501, /api_endpoint/],
  ]
  for (const [path, more, status, message] of cases) {
    const response = await t.post(path, { model: EMBEDDER, ...more })
    assert.equal(response.status, status, JSON.stringify([path, status]))
    assert.match(JSON.stringify(await response.json()), message)
  }
})

test('passages are ranked, the best first; what is wrong is named', async () => {
  const weights = { path: '/dev/null', num_parameters: 1, context_size: 512, sha256: '0'.repeat(64) }
  const entry = { kind: 'gguf', id: 'acme/reranker', task: 'ranking', ...weights } as const
  const own = await startTestService({}, [entry])
  const body = {
    model: 'acme/reranker',
    query: { text: 'why?' },
    passages: [{ text: 'short' }, { text: 'the longest one' }, { text: 'in between' }],
  }
  const answer = await own.post('/v1/ranking', body)
  assert.deepEqual(await answer.json(), {
    rankings: [
      { index: 1, logit: -0.25 },
      { index: 2, logit: -1.5 },
      { index: 0, logit: -2.75 },
    ],
    usage: { prompt_tokens: 42, total_tokens: 42 },
  })
  const long = { passages: [{ text: 'a' }, { text: 'b'.repeat(40) }] }
  const cut = await (await own.post('/v1/ranking', { ...body, ...long, truncate: 'END' })).json()
  assert.deepEqual(cut.rankings[0], { index: 1, logit: 5 })
  const cases: [string, object, number, RegExp][] = [
    ['/v1/ranking', long, 400, /passage 1 have 44 tokens.*at most 40.*truncate: END/],
    ['/v1/ranking', { passages: [] }, 422, /passages/],
    ['/v1/ranking', { query: 'why?' }, 422, /query/],
    ['/v1/ranking', { truncate: 'START' }, 422, /must be NONE or END/],
    ['/v1/ranking', { model: MODEL }, 404, /those that do: acme\/reranker.*models add/],
    ['/v1/ranking', { model: 'nvidia/none' }, 404, /nvidia\/none is no model that ranks/],
    ['/v1/chat/completions', { messages }, 400, /ranks passages.*v1\/ranking/],
    ['/v1/embeddings', { input: 'a' }, 400, /ranks passages/],
    ['/tokenize', { prompt: 'a' }, 400, /ranks passages/],
  ]
  for (const [path, more, status, message] of cases) {
    const response = await own.post(path, { ...body, ...more })
    const text = JSON.stringify(await response.json())
    assert.equal(response.status, status, text)
    assert.match(text, message)
  }
  const { data } = await (await own.app.request('/v1/models')).json()
  assert.ok(
    data.some((m: { id: string; max_model_len: number }) => m.max_model_len === 512 && m.id === entry.id),
  )
  await own.stop()
})

test('hanging up ends the work, streamed or not', async () => {
  t.engine.script = ['hang']
  const before = t.engine.aborted
  const abort = new AbortController()
  const plain = t.post('/v1/chat/completions', { model: MODEL, messages }, { signal: abort.signal })
  setTimeout(() => abort.abort(), 50)
  await Promise.resolve(plain).catch(() => undefined)
  assert.equal(t.engine.aborted, before + 1)
  const stream = await chat({ stream: true })
  const reader = stream.body?.getReader()
  await reader?.read()
  await reader?.cancel()
  assert.equal(t.engine.aborted, before + 2)
})

test('a model that is being loaded answers 503 with what is going on', async () => {
  t.engine.loading = 'fetching (40 %)'
  const response = await chat()
  assert.equal(response.status, 503)
  assert.ok(response.headers.get('retry-after'))
  assert.match((await response.json()).detail, /fetching \(40 %\)/)
  const ready = await t.app.request('/v1/health/ready')
  assert.equal(ready.status, 503)
  const body = await ready.json()
  assert.equal(body.object, 'error')
  assert.match(body.message, /fetching/)
  assert.equal((await t.app.request('/v1/health/live')).status, 200)
})

test('the paths of a NIM', async () => {
  const get = async (path: string) => (await t.app.request(path)).json()
  assert.deepEqual(await get('/v1/health/ready'), {
    object: 'health.response',
    message: 'Service is ready.',
    status: 'ready',
  })
  const { data } = await get('/v1/models')
  assert.deepEqual(
    [data[0].id, data[0].root, data[0].parent, data[0].max_model_len],
    [MODEL, MODEL, null, 2048],
  )
  assert.equal((await get(`/v1/models/${MODEL}`)).id, MODEL)
  assert.equal((await t.app.request('/v1/models/a/b@v1')).status, 404)
  const metadata = await get('/v1/metadata')
  assert.deepEqual(metadata.modelInfo[0].weights, { id: MODEL, sha256: 'base-sha' })
  assert.equal((await get('/v1/license')).name, 'apache-2.0')
  assert.ok((await get('/v1/version')).release)
  assert.match(await (await t.app.request('/v1/metrics')).text(), /inference_tokens_total\{model="smollm2/)
  const gauge = new RegExp(`^vllm:num_requests_waiting\\{model_name="${MODEL}"\\} 0$`, 'm')
  assert.match(await (await t.app.request('/v1/metrics')).text(), gauge)
  const document = await get('/openapi.json')
  assert.ok(document.paths['/v1/chat/completions'].post.requestBody)
})
