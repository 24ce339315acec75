// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ScriptedEngine } from '../testing.ts'
import { createResidency } from './on-demand.ts'
import type { Engine, GenerateRequest } from './types.ts'

const REQUEST = { prompt: { text: 'hi' } } as GenerateRequest

/** Engines by name, and what was started and stopped in order. */
function fleet(limits: { most: number; idleMs: number }) {
  const residency = createResidency(limits)
  const told: string[] = []
  let alive = 0
  let most = 0
  const make = (name: string, script: (string | Error)[] = ['ok']) =>
    residency.engine(() => {
      const engine = new ScriptedEngine()
      engine.script = script
      told.push(`+${name}`)
      most = Math.max(most, ++alive)
      engine.stop = async () => {
        await sleep(5)
        alive--
        told.push(`-${name}`)
      }
      return engine
    })
  return { residency, told, make, most: () => most, alive: () => alive }
}

async function say(engine: Engine, signal = AbortSignal.timeout(5000)): Promise<string> {
  let text = ''
  for await (const event of engine.generate(REQUEST, signal)) if (event.type === 'text') text += event.text
  return text
}

test('an engine starts with its first request, and leaves when it has been idle', async () => {
  const { residency, told, make } = fleet({ most: 2, idleMs: 100 })
  const engine = make('a')
  assert.deepEqual([engine.state().status, told], ['idle', []])
  assert.equal(await say(engine), 'ok')
  assert.equal(await say(engine), 'ok')
  assert.deepEqual(told, ['+a'])
  await sleep(250)
  assert.deepEqual([engine.state().status, told], ['idle', ['+a', '-a']])
  assert.equal((await engine.ready(1000)).contextSize, 2048)
  assert.deepEqual(told, ['+a', '-a', '+a'])
  await residency.stop()
  assert.deepEqual(told, ['+a', '-a', '+a', '-a'])
})

test('no more run at once than may, the one idle longest leaves, and its memory is free before the next starts', async () => {
  const { residency, told, make, most } = fleet({ most: 2, idleMs: 60_000 })
  const [a, b, c] = [make('a'), make('b'), make('c')]
  await say(a)
  await sleep(3)
  await say(b)
  await sleep(3)
  await say(a)
  await say(c)
  assert.deepEqual(told, ['+a', '+b', '-b', '+c'])
  await Promise.all([a, b, c, a, b, c].map((engine) => say(engine)))
  assert.equal(most(), 2)
  await residency.stop()
})

test('a request waits while all places are at work, until it hangs up or its time is over', async () => {
  const { residency, make, alive } = fleet({ most: 1, idleMs: 60_000 })
  const [busy, other] = [make('busy', ['hang']), make('other')]
  const leave = new AbortController()
  const working = say(busy, leave.signal).catch(() => 'left')
  await sleep(20)
  await assert.rejects(other.ready(30), { name: 'EngineError', code: 'loading' })
  const waiting = say(other)
  await sleep(20)
  assert.equal(alive(), 1)
  leave.abort()
  assert.equal(await working, 'left')
  assert.equal(await waiting, 'ok')
  await residency.stop()
  assert.equal(alive(), 0)
})
