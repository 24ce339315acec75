// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { startTestService } from '../testing.ts'

const t = await startTestService()
after(() => t.stop())
const MODEL = 'smollm2/smollm2-135m-instruct'
const ask = async (path: string, body: unknown) => {
  const response = await t.post(path, body)
  return { status: response.status, body: await response.json() }
}

for (const prefix of ['', '/v1']) {
  test(`${prefix}/tokenize and ${prefix}/detokenize turn a text into tokens and back`, async () => {
    const { body } = await ask(`${prefix}/tokenize`, { prompt: 'Hi', return_token_strs: true })
    assert.deepEqual(body, {
      count: 3,
      max_model_len: 2048,
      tokens: [1, 72, 105],
      token_strs: ['\u0001', 'H', 'i'],
    })
    const bare = await ask(`${prefix}/tokenize`, { model: MODEL, prompt: 'Hi', add_special_tokens: false })
    assert.deepEqual([bare.body.tokens, bare.body.token_strs], [[72, 105], null])
    const back = await ask(`${prefix}/detokenize`, { tokens: [72, 105] })
    assert.deepEqual(back.body, { prompt: 'Hi' })
  })

  test(`${prefix}/tokenizer_info tells what a client renders conversations with`, async () => {
    const info = await (await t.app.request(`${prefix}/tokenizer_info`)).json()
    assert.equal(info.bos_token, '<|im_start|>')
    assert.equal(info.eos_token, '<|im_end|>')
    assert.match(info.chat_template, /im_start/)
  })
}

test('a conversation is rendered by the chat template, which writes the special tokens itself', async () => {
  const messages = [{ role: 'user', content: 'Hi' }]
  const { body } = await ask('/tokenize', { messages })
  const text = String.fromCharCode(...body.tokens)
  assert.match(text, /^<\|im_start\|>.*user\nHi<\|im_end\|>\n<\|im_start\|>assistant\n$/s)
  const open = await ask('/tokenize', { messages, add_generation_prompt: false })
  assert.ok(open.body.count < body.count)
})

test('what cannot be tokenized is refused with the reason', async () => {
  const both = await ask('/tokenize', { prompt: 'a', messages: [{ role: 'user', content: 'b' }] })
  assert.equal(both.status, 422)
  assert.equal((await ask('/tokenize', {})).status, 422)
  const bad = await ask('/detokenize', { tokens: [70_000] })
  assert.equal(bad.status, 400)
  assert.match(bad.body.error.message, /token is not one of/)
  assert.equal(bad.body.error.param, 'tokens')
  assert.equal((await ask('/tokenize', { model: 'nobody', prompt: 'a' })).status, 404)
  const embedding = await ask('/tokenize', {
    model: (await (await t.app.request('/v1/models')).json()).data.find((m: { id: string }) =>
      /minilm|bge|embed/i.test(m.id),
    ).id,
    prompt: 'a',
  })
  assert.equal(embedding.status, 400)
  t.engine.loading = '10 %'
  assert.equal((await ask('/tokenize', { prompt: 'a' })).status, 503)
  t.engine.loading = undefined
})
