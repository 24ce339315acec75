// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { compileConfig, createServices, type StreamEvent, startStream } from '../index.ts'
import { type Script, said, scriptedModel } from '../testing.ts'
import { textOf } from './chunk.ts'
import type { EngineServices } from './compiled.ts'

const open: EngineServices[] = []
after(() => Promise.all(open.map((s) => s.regex.close())))

function engine(script: Script, rails: Record<string, unknown>) {
  const scripted = scriptedModel(script)
  const services = createServices({ nimUrl: 'http://nim/v1', fetch: scripted.fetch })
  open.push(services)
  const prompts = [{ task: 'self_check_input', content: 'IN {{ user_input }}' }]
  const config = compileConfig({ data: { models: [], prompts, rails } }, services)
  const start = () =>
    startStream({ config, messages: [{ role: 'user', content: 'hi' }], model: 'm' }, services)
  return {
    calls: scripted.calls,
    start,
    async stream() {
      const all: StreamEvent[] = []
      for await (const event of (await start()).events) all.push(event)
      return all
    },
  }
}

const texts = (events: StreamEvent[]) => events.flatMap((e) => (e.type === 'chunk' ? [textOf(e.chunk)] : []))

describe('an answer that rails change', () => {
  const config = {
    sensitive_data_detection: { output: { entities: ['EMAIL_ADDRESS', 'CREDIT_CARD'] } },
    regex_detection: { output: { patterns: ['forbidden'] } },
  }
  const rails = (...flows: string[]) => ({
    config,
    output: { flows, streaming: { enabled: true, chunk_size: 10, context_size: 4 } },
  })
  const filler = Array.from({ length: 60 }, (_, i) => `word${i} `)
  const masks = (script: string[]) => engine(() => script, rails('mask sensitive data on output')).stream()

  test('is sent piece by piece, and masked as a whole answer is', async () => {
    const got = await masks([...filler.slice(0, 20), 'to ', 'ada@', 'example', '.org ', ...filler.slice(20)])
    const pieces = texts(got).filter((t) => t !== '')
    assert.ok(pieces.length > 3, `${pieces.length} pieces`)
    assert.equal(
      pieces.join(''),
      [...filler.slice(0, 20), 'to <EMAIL_ADDRESS> ', ...filler.slice(20)].join(''),
    )
    assert.ok(got.every((e) => e.type === 'chunk'))
  })

  test('is masked wherever in the windows the data stands', async () => {
    const card = ['4111', ' 1111', ' 1111', ' 1111', ' ']
    for (let at = 0; at < 40; at++) {
      const got = texts(await masks([...filler.slice(0, at), ...card, ...filler.slice(at)]))
      const whole = [...filler.slice(0, at), '<CREDIT_CARD> ', ...filler.slice(at)].join('')
      assert.equal(got.join(''), whole, `a card after ${at} words`)
    }
  })

  test('is stopped by a rail that blocks, before what it blocks is sent', async () => {
    const both = rails('mask sensitive data on output', 'regex check output')
    const got = await engine(() => [...filler, 'forbidden ', ...filler], both).stream()
    assert.equal(got.at(-1)?.type, 'stopped')
    const sent = texts(got).join('')
    assert.ok(sent.length > 0 && [...filler].join('').startsWith(sent))
  })

  test('comes whole when nothing is a place to cut', async () => {
    const got = texts(await masks(Array.from({ length: 50 }, () => 'abc')))
    assert.equal(got.join(''), 'abc'.repeat(50))
  })
})

describe('a stream with speculative generation', () => {
  const rails = { input: { flows: ['self check input'], speculative_generation: true } }

  test('asks the model beside the rails, and sends when they have passed', async () => {
    let [asked, decided] = [0, 0]
    const script: Script = async (call) => {
      if (!said(call).startsWith('IN')) {
        asked = performance.now()
        return 'one two three'
      }
      await sleep(50)
      decided = performance.now()
      return 'No'
    }
    const e = engine(script, rails)
    const { events } = await e.start()
    const first = await events.next()
    assert.ok(asked > 0 && asked < decided, `asked at ${asked}, decided at ${decided}`)
    const rest: StreamEvent[] = first.done ? [] : [first.value]
    for await (const event of events) rest.push(event)
    assert.equal(texts(rest).join(''), 'one two three')
    assert.deepEqual(e.calls.map((call) => said(call).startsWith('IN')).toSorted(), [false, true])
  })

  test('stops the model when a rail blocks, and sends nothing of its answer', async () => {
    const script: Script = async (call) => {
      if (said(call).startsWith('IN')) return 'Yes'
      await sleep(200)
      return 'never seen'
    }
    const e = engine(script, rails)
    const got = await e.stream()
    assert.deepEqual(
      got.map((event) => (event.type === 'answer' ? event.text : event.type)),
      ["I'm sorry, I can't respond to that."],
    )
    const model = e.calls.find((call) => !said(call).startsWith('IN'))
    assert.equal(model?.aborted(), true)
  })

  test('an error of the model is the error of the request', async () => {
    const e = engine((call) => (said(call).startsWith('IN') ? 'No' : 404), rails)
    await assert.rejects(e.start(), { name: 'ModelError', status: 404 })
  })
})
