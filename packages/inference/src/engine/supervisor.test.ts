// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { startEngine } from './supervisor.ts'
import type { GenerateEvent, GenerateRequest } from './types.ts'

const workerFile = fileURLToPath(new URL('./scripted-worker.ts', import.meta.url))

function start(modelPath = 'weights') {
  const said: string[] = []
  const note = (o: object) => said.push(JSON.stringify(o))
  const engine = startEngine({
    workerFile,
    backoffMs: { first: 20, max: 40 },
    log: { info: note, warn: note, error: note },
    locate: async () => ({
      modelPath,
      threads: 1,
      contextSize: 8,
      sequences: 1,
      adapterContextSize: 8,
      adapterSequences: 1,
      maxAdapters: 1,
      maxQueue: 1,
    }),
  })
  return { engine, said }
}

const request = (text: string): GenerateRequest => ({
  prompt: { text },
  maxTokens: 1,
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  seed: 1,
  repeatable: false,
  stop: [],
  frequencyPenalty: 0,
  presencePenalty: 0,
  ignoreEos: false,
})

async function all(events: AsyncGenerator<GenerateEvent>) {
  const out: GenerateEvent[] = []
  for await (const event of events) out.push(event)
  return out
}

const live = () => new AbortController().signal

test('a request gets its events, and errors keep code and numbers', async () => {
  const { engine } = start()
  try {
    await engine.ready(10_000)
    const events = await all(engine.generate(request('hi'), live()))
    assert.deepEqual(
      events.map((e) => e.type),
      ['start', 'text', 'end'],
    )
    await assert.rejects(all(engine.generate(request('fail'), live())), {
      code: 'busy',
      details: { waiting: 3 },
    })
  } finally {
    await engine.stop()
  }
})

test('an abort of the process fails what it worked on, and the next request finds a new one', async () => {
  const { engine } = start()
  try {
    await engine.ready(10_000)
    const other = all(engine.generate(request('hang'), live()))
    const crashed = all(engine.generate(request('crash'), live()))
    await assert.rejects(crashed, { code: 'crashed', message: /SIGABRT/ })
    await assert.rejects(other, { code: 'crashed' })
    await engine.ready(10_000)
    assert.equal((await all(engine.generate(request('again'), live()))).length, 3)
  } finally {
    await engine.stop()
  }
})

test('hanging up tells the worker', async () => {
  const { engine, said } = start()
  try {
    await engine.ready(10_000)
    const abort = new AbortController()
    const events = engine.generate(request('hang'), abort.signal)
    await events.next()
    const next = events.next()
    abort.abort()
    await assert.rejects(next, { name: 'AbortError' })
    const again = engine.generate(request('hang'), live())
    await again.next()
    await again.return()
    for (let i = 0; i < 100 && said.filter((s) => s.includes('abort')).length < 2; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    assert.deepEqual(
      said.filter((s) => s.includes('abort')),
      ['{"engine":"abort 1"}', '{"engine":"abort 2"}'],
    )
  } finally {
    await engine.stop()
  }
})

test('weights that do not load are tried again and named while nobody can be served', async () => {
  const { engine } = start('broken')
  try {
    await assert.rejects(engine.ready(1500), {
      code: 'loading',
      message: /no such weights|being loaded|starts/,
    })
    await assert.rejects(all(engine.generate(request('hi'), live())), { code: 'loading' })
  } finally {
    await engine.stop()
  }
  await assert.rejects(engine.ready(10), { code: 'stopped' })
})
