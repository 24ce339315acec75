// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { loadCatalogue } from '@open-nemo/runtime/catalogue/index.ts'
import { startEngine } from './supervisor.ts'
import type { GenerateEvent, GenerateRequest } from './types.ts'

// The real engine and weights; they are not fetched for this.
const cacheDir =
  process.env.NEMO_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'open-nemo')
const models = join(cacheDir, 'models')
const skip = existsSync(models) ? false : `the reference model is not in ${models}: start the platform once`

const prompt = { text: '<|im_start|>user\nWrite a poem<|im_end|>\n<|im_start|>assistant\n' }
const request: GenerateRequest = {
  prompt,
  maxTokens: 16,
  temperature: 1,
  topP: 1,
  topK: 40,
  minP: 0,
  seed: 5,
  repeatable: true,
  stop: [],
  frequencyPenalty: 0,
  presencePenalty: 0,
  ignoreEos: true,
}

/** Made by fixture/logprobs.py with transformers, from the GGUF's weights in 32 bits. */
const golden: { text: string; tokens: number[]; logprobs: number[]; best: number[] }[] = JSON.parse(
  readFileSync(new URL('./fixture/logprobs.json', import.meta.url), 'utf8'),
)

test('the real engine', { skip }, async (t) => {
  const catalogue = await loadCatalogue({ env: {}, home: cacheDir, cacheDir })
  const [model] = catalogue.models
  assert.ok(model)
  const none = () => undefined
  const engine = startEngine({
    log: { info: none, warn: none, error: none },
    locate: async () => ({
      modelPath: (await catalogue.ensureGguf(model)).path,
      threads: 1,
      contextSize: 256,
      sequences: 2,
      adapterContextSize: 256,
      adapterSequences: 1,
      maxAdapters: 1,
      maxQueue: 4,
    }),
  })
  after(() => engine.stop())
  const loaded = await engine.ready(60_000)
  const run = async (more: Partial<GenerateRequest> = {}) => {
    let text = ''
    let end: object = {}
    let promptTokens = 0
    for await (const event of engine.generate({ ...request, ...more }, new AbortController().signal)) {
      if (event.type === 'text') text += event.text
      if (event.type === 'start') promptTokens = event.promptTokens
      if (event.type === 'end') end = event
    }
    return { text, end, promptTokens }
  }

  await t.test('says what an adapter has to fit', () => {
    assert.deepEqual(loaded.shape, { architecture: 'llama', layers: 30, heads: 9, kvHeads: 3 })
  })
  await t.test('same seed, same text, also beside others; another seed, another text', async () => {
    const alone = await run()
    const [busy] = await Promise.all([run(), run({ seed: 1 }), run({ seed: 2 })])
    assert.equal(busy?.text, alone.text)
    assert.notEqual((await run({ seed: 6 })).text, alone.text)
    assert.deepEqual(alone.end, { type: 'end', finish: 'length', completionTokens: 16 })
  })
  await t.test('a grammar is followed and a stop sequence is not shown', async () => {
    const grammar = 'root ::= "{\\"a\\": " [0-9] "}"'
    const json = await run({ grammar, ignoreEos: false })
    assert.match(json.text, /^\{"a": \d\}$/)
    const [word = ''] = (await run()).text.trim().split(/\s+/).slice(1)
    const stopped = await run({ stop: [word] })
    assert.ok(!stopped.text.includes(word))
    assert.deepEqual(
      { ...stopped.end, completionTokens: 0 },
      { type: 'end', finish: 'stop', completionTokens: 0 },
    )
  })
  await t.test('log-probabilities of a prompt are those of transformers', { timeout: 120_000 }, async () => {
    const weights = await catalogue.ensureFloatGguf(model, 1e9)
    assert.ok(weights)
    for (const { tokens, logprobs, best } of golden) {
      const ask = { ...request, prompt: { tokens }, maxTokens: 1, temperature: 0, topLogprobs: 1 }
      const events: GenerateEvent[] = []
      const signal = new AbortController().signal
      for await (const e of engine.generate({ ...ask, echo: { logprobs: 1, weights } }, signal))
        events.push(e)
      const prompt = events.find((e) => e.type === 'prompt')
      assert.ok(prompt?.type === 'prompt' && prompt.logprobs)
      assert.equal(prompt.logprobs.length, tokens.length)
      assert.equal(prompt.logprobs[0]?.logprob, null)
      for (const [i, expected] of logprobs.entries()) {
        const got = prompt.logprobs[i + 1]
        assert.ok(Math.abs((got?.logprob ?? 0) - expected) < 1e-3, `${i}: ${got?.logprob}, not ${expected}`)
        assert.ok(Math.abs((got?.top[0]?.logprob ?? 0) - (best[i] ?? 0)) < 1e-3, `the likeliest at ${i}`)
      }
      assert.equal(events.filter((e) => e.type === 'text' && e.logprobs).length, 1)
    }
  })
  await t.test('log-probabilities of an answer are the model’s at every temperature', async () => {
    const firstOf = async (temperature: number) => {
      const signal = new AbortController().signal
      const ask = { ...request, maxTokens: 1, temperature, topLogprobs: 5 }
      for await (const e of engine.generate(ask, signal))
        if (e.type === 'text' && e.logprobs) return e.logprobs[0]
      return undefined
    }
    const [plain, warm, cold] = [await firstOf(1), await firstOf(1.7), await firstOf(0.4)]
    assert.equal(plain?.top.length, 5)
    for (const other of [warm, cold]) {
      for (const [i, { token, logprob }] of (plain?.top ?? []).entries()) {
        assert.equal(other?.top[i]?.token, token)
        assert.ok(
          Math.abs((other?.top[i]?.logprob ?? 0) - logprob) < 1e-3,
          `${other?.top[i]?.logprob}, not ${logprob}`,
        )
      }
    }
  })
  await t.test('bad input is an error with its code', async () => {
    const cases: [Partial<GenerateRequest>, string][] = [
      [{ prompt: { text: 'word '.repeat(400) } }, 'context_overflow'],
      [{ prompt: { tokens: [] } }, 'empty_prompt'],
      [{ prompt: { tokens: [10 ** 7] } }, 'bad_token'],
      [{ grammar: 'root ::= root "a"' }, 'bad_grammar'],
      [{ adapter: { key: 'x', path: '/nowhere.gguf' } }, 'adapter_failed'],
    ]
    for (const [more, code] of cases) await assert.rejects(run(more), { code }, code)
  })
  await t.test('a full context ends an answer with length', async () => {
    const { end, promptTokens } = await run({ maxTokens: 1000 })
    assert.deepEqual(end, {
      type: 'end',
      finish: 'length',
      completionTokens: loaded.contextSize - promptTokens,
    })
  })
})
