// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { events, type Script, said, startTestService } from './testing.ts'

const REFUSAL = "I'm sorry, I can't respond to that."

const data = {
  models: [],
  prompts: [
    { task: 'self_check_input', content: 'IN {{ user_input }}' },
    { task: 'self_check_output', content: 'OUT {{ bot_response }}' },
  ],
  rails: {
    input: { flows: ['self check input'] },
    output: {
      flows: ['self check output'],
      streaming: { enabled: true, chunk_size: 4, context_size: 1, stream_first: false },
    },
  },
}

/** Judges by the words of the text, and answers with six words. */
const script: Script = (call) => {
  const text = said(call)
  if (text.startsWith('IN')) return text.includes('bad') ? 'Yes' : 'No'
  if (text.startsWith('OUT')) return text.includes('leak') ? 'Yes' : 'No'
  if (text.includes('down')) return 503
  return text.includes('tell') ? 'one two three four five leak seven' : 'one two three four five six seven'
}

const dir = await mkdtemp(join(tmpdir(), 'nemo-guardrails-'))
await mkdir(join(dir, 'shop'))
await writeFile(
  join(dir, 'shop/config.yml'),
  'models: []\nrails:\n  input:\n    flows: [regex check input]\n',
)
await writeFile(
  join(dir, 'shop/more.yml'),
  'rails: {config: {regex_detection: {input: {patterns: ["rival"]}}}}\n',
)
const t = await startTestService(script, { CONFIG_STORE_PATH: dir })
after(async () => {
  await t.stop()
  await rm(dir, { recursive: true, force: true })
})

const chat = (content: string, more: object = {}, headers = {}) =>
  t.call('POST', '/chat/completions', { model: 'm', messages: [{ role: 'user', content }], ...more }, headers)
const guarded = { guardrails: { config_id: 'team/rails' } }

test('configurations: created with defaults filled in, listed, changed, deleted', async () => {
  const key = {
    type: 'judge',
    engine: 'openai',
    model: 'j',
    parameters: { base_url: 'http://j/v1', api_key: 'k' },
  }
  const made = await t.call('POST', '/configs', {
    name: 'rails',
    namespace: 'team',
    data: { ...data, models: [key] },
  })
  assert.equal(made.status, 200, made.raw)
  assert.equal(made.body.data.models[0].mode, 'chat')
  assert.equal(made.body.data.models[0].parameters.api_key, '******')
  assert.equal(made.body.data.rails.output.streaming.chunk_size, 4)
  assert.ok(made.body.data.instructions[0].content && made.body.data.sample_conversation)
  assert.equal((await t.call('POST', '/configs', { name: 'rails', namespace: 'team', data })).status, 409)
  const patched = await t.call('PATCH', '/configs/team/rails', { description: 'second', project: '' })
  assert.deepEqual([patched.body.description, patched.body.data.models.length], ['second', 1])
  // what was read is sent back with other rails: the masked key stays as it was
  const sent = { ...patched.body.data, models: [...made.body.data.models, { type: 'x', engine: 'nim' }] }
  assert.equal((await t.call('PATCH', '/configs/team/rails', { data: sent })).status, 200)
  const list = await t.call('GET', '/configs?page_size=100&sort=name')
  const ids = list.body.data.map((c: { namespace: string; name: string }) => `${c.namespace}/${c.name}`)
  assert.deepEqual(ids, ['default/default', 'team/rails', 'default/self-check', 'default/shop'])
  const one = await t.call('GET', '/configs?filter[namespace]=team')
  assert.equal(one.body.pagination.total_results, 1)
  assert.match((await t.call('GET', '/configs/default/shop')).body.files_url, /^file:\/\/.*shop$/)
  assert.equal((await t.call('DELETE', '/configs/default/shop')).status, 409)
  assert.equal((await t.call('GET', '/configs/default/none')).status, 404)
  await t.call('POST', '/configs', { name: 'gone', data })
  assert.equal((await t.call('DELETE', '/configs/default/gone')).body.id, 'default/gone')
  assert.equal((await t.call('DELETE', '/configs/default/gone')).status, 404)
})

test('what is not supported is refused at creation, by name', async () => {
  const post = async (more: object) => {
    const { status, body } = await t.call('POST', '/configs', { name: 'bad', data: { models: [], ...more } })
    assert.equal(status, 422)
    return JSON.stringify(body.detail)
  }
  assert.match(
    await post({ rails: { input: { flows: ['self check inptu'] } } }),
    /did you mean .*self check input/,
  )
  assert.match(
    await post({ rails: { input: { flows: ['self check input'] } } }),
    /needs a prompt.*self_check_input/,
  )
  assert.match(await post({ rails: { output: { flows: ['pangea ai guard output'] } } }), /not supported/)
  assert.match(await post({ models: [{ type: 'main', engine: 'vertexai' }] }), /no base_url/)
  assert.match(
    await post({ models: [{ type: 'main', engine: 'nim', api_key_env_var: 'PGPASSWORD' }] }),
    /API_KEY/,
  )
  const pattern = { regex_detection: { input: { patterns: ['(a'] } } }
  assert.match(await post({ rails: { config: pattern, input: { flows: ['regex check input'] } } }), /\(a/)
  assert.match(await post({ colang_content: 'define flow x\n  nonsense here!' }), /colang_content:2/)
  assert.equal((await t.call('POST', '/configs', { name: 'bad' })).status, 422)
})

test('a good message is answered, a bad one has the recorded shape of a refusal', async () => {
  const good = await chat('hello', guarded, { 'x-model-authorization': 'mine' })
  assert.equal(good.body.choices[0].message.content, 'one two three four five six seven')
  assert.deepEqual(good.body.guardrails_data, { config_ids: ['team/rails'] })
  assert.equal(good.body.model, 'm')
  const main = t.calls.find((c) => said(c) === 'hello')
  assert.deepEqual([main?.url, main?.key], ['http://nim.example/v1/chat/completions', 'Bearer mine'])
  const { body, status } = await chat('a bad one', guarded)
  assert.equal(status, 200)
  assert.deepEqual(body, {
    id: body.id,
    object: 'chat.completion',
    created: body.created,
    model: '-',
    choices: [
      { index: 0, finish_reason: 'stop', logprobs: null, message: { role: 'assistant', content: REFUSAL } },
    ],
    usage: { completion_tokens: 0, prompt_tokens: 0, total_tokens: 0 },
    guardrails_data: { config_ids: ['team/rails'] },
  })
})

test('config_id at top level, several ids, inline config, and the default', async () => {
  assert.equal((await chat('a rival', { config_id: 'shop' })).body.choices[0].message.content, REFUSAL)
  const both = { guardrails: { config_ids: ['team/rails', 'default/shop'] } }
  assert.equal((await chat('a rival', both)).body.choices[0].message.content, REFUSAL)
  assert.equal((await chat('bad', both)).body.choices[0].message.content, REFUSAL)
  assert.equal((await chat('bad', { guardrails: { config: data } })).body.choices[0].message.content, REFUSAL)
  assert.deepEqual((await chat('bad')).body.guardrails_data.config_ids, ['default'])
  assert.equal((await chat('x', { config_id: 'nowhere' })).status, 404)
})

test('streaming: passed on, refused before, and stopped in the middle', async () => {
  const stream = async (content: string) => {
    const answer = await chat(content, { ...guarded, stream: true })
    assert.ok(answer.raw.trimEnd().endsWith('data: [DONE]'))
    const all = events(answer.raw)
    const text = all.map((e) => e.choices[0]?.delta.content ?? '').join('')
    return { all, text }
  }
  const good = await stream('hello')
  assert.equal(good.text, 'one two three four five six seven')
  assert.equal(good.all.at(-1).choices[0].finish_reason, 'stop')
  assert.equal((await stream('bad')).text, REFUSAL)
  const stopped = await stream('tell')
  assert.equal(stopped.text, 'one two three four ')
  assert.deepEqual(stopped.all.at(-1).error, {
    message: 'Blocked by self check output rails.',
    type: 'guardrails_violation',
    param: 'self check output',
    code: 'content_blocked',
  })
})

test('checks: each rail with its status, both sides, and no model for deterministic rails', async () => {
  const check = (messages: object[], more: object = guarded) =>
    t.call('POST', '/checks', { model: 'm', messages, ...more })
  const user = { role: 'user', content: 'hello' }
  const good = await check([user])
  assert.deepEqual(good.body.rails_status, { 'self check input': { status: 'success' } })
  assert.equal(good.body.guardrails_data.log.activated_rails[0].name, 'self check input')
  assert.equal(good.body.guardrails_data.log.stats.llm_calls_count, 1)
  const bad = await check([user, { role: 'assistant', content: 'a leak' }])
  assert.equal(bad.body.status, 'blocked')
  assert.deepEqual(bad.body.rails_status, {
    'self check input': { status: 'success' },
    'self check output': { status: 'blocked' },
  })
  const before = t.calls.length
  assert.equal(
    (await check([{ role: 'user', content: 'rival' }], { config_id: 'shop' })).body.status,
    'blocked',
  )
  assert.equal(t.calls.length, before)
})

test('completions, the log, output variables, return_choice, and a rail left out', async () => {
  const text = await t.call('POST', '/completions', { model: 'm', prompt: 'bad', ...guarded })
  assert.equal(text.body.choices[0].text, REFUSAL)
  const options = {
    log: { activated_rails: true, llm_calls: true, colang_history: true },
    output_vars: ['user_message'],
  }
  const { body } = await chat('bad', { guardrails: { ...guarded.guardrails, options, return_choice: true } })
  const { log, output_data } = body.guardrails_data
  assert.deepEqual(log.activated_rails[0].decisions, [
    'execute self_check_input',
    'refuse to respond',
    'stop',
  ])
  assert.equal(log.llm_calls[0].prompt, 'IN bad')
  assert.match(log.colang_history, /bot refuse to respond/)
  assert.deepEqual(output_data, { user_message: 'bad' })
  assert.equal(body.choices[1].message.role, 'guardrails_data')
  const only = { guardrails: { ...guarded.guardrails, options: { rails: { input: false } } } }
  assert.notEqual((await chat('bad', only)).body.choices[0].message.content, REFUSAL)
})

test('a main model that is down is an error; a body that is no UTF-8 or too large is refused', async () => {
  assert.equal((await chat('is down', { guardrails: { config_id: 'default' } })).status, 503)
  const raw = await t.app.request('/v1/guardrail/checks', {
    method: 'POST',
    body: new Uint8Array([0x7b, 0xff, 0x7d]),
  })
  assert.equal(raw.status, 422)
  const large = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x'.repeat(50_000_000) }] })
  const headers = { 'content-length': String(large.length) }
  assert.equal(
    (await t.app.request('/v1/guardrail/checks', { method: 'POST', body: large, headers })).status,
    413,
  )
})
