// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMetrics, type Registry } from '@open-nemo/runtime'
import { LOADED, ScriptedEngine } from '../testing.ts'
import { metered } from './metered.ts'
import { EngineError, type GenerateEvent, type GenerateRequest } from './types.ts'

const REQUEST = { prompt: { text: 'a' }, maxTokens: 1 } as GenerateRequest

/** Starts a generation when the test says so. */
class GatedEngine extends ScriptedEngine {
  gate = Promise.withResolvers<void>()
  override async *generate(request: GenerateRequest, signal: AbortSignal): AsyncGenerator<GenerateEvent> {
    await this.gate.promise
    signal.throwIfAborted()
    yield* super.generate(request, signal)
  }
}

/** `[running, waiting, max]` of a model by either family of names. */
async function loadOf(metrics: Registry, model: string) {
  const text = await metrics.metrics()
  const read = (name: string) => {
    const line = text.split('\n').find((each) => each.startsWith(`${name}{model_name="${model}"}`))
    return line === undefined ? undefined : Number(line.split(' ').at(-1))
  }
  const [running, waiting] = ['num_requests_running', 'num_requests_waiting'].map(read)
  assert.deepEqual(['vllm:num_requests_running', 'vllm:num_requests_waiting'].map(read), [running, waiting])
  return [running, waiting, read('num_request_max')]
}

test('generations wait until they have a sequence, then run until they end, however they end', async () => {
  const metrics = createMetrics()
  const inner = new GatedEngine()
  const engine = metered(inner, metrics, 'acme/one')
  assert.deepEqual(await loadOf(metrics, 'acme/one'), [0, 0, LOADED.sequences])
  inner.loading = 'fetching'
  assert.deepEqual(await loadOf(metrics, 'acme/one'), [0, 0, undefined])
  inner.loading = undefined

  const leaving = new AbortController()
  const whole = engine.generate(REQUEST, new AbortController().signal)
  const left = engine.generate(REQUEST, leaving.signal)
  const asked = [whole.next(), left.next()]
  assert.deepEqual((await loadOf(metrics, 'acme/one')).slice(0, 2), [0, 2])
  inner.gate.resolve()
  for (const first of asked) assert.equal((await first).value?.type, 'start')
  assert.deepEqual((await loadOf(metrics, 'acme/one')).slice(0, 2), [2, 0])
  // the caller reads no more
  await left.return()
  assert.deepEqual((await loadOf(metrics, 'acme/one')).slice(0, 2), [1, 0])
  for await (const _ of whole);
  assert.deepEqual((await loadOf(metrics, 'acme/one')).slice(0, 2), [0, 0])

  inner.script = [new EngineError('busy', 'full')]
  await assert.rejects(engine.generate(REQUEST, new AbortController().signal).next(), /full/)
  assert.deepEqual((await loadOf(metrics, 'acme/one')).slice(0, 2), [0, 0])
})

test('models are told apart, and one that is gone is not shown', async () => {
  const metrics = createMetrics()
  const engines = ['acme/one', 'acme/two'].map((model) => metered(new GatedEngine(), metrics, model))
  const waiting = engines[1]?.generate(REQUEST, new AbortController().signal).next()
  waiting?.catch(() => undefined)
  assert.deepEqual((await loadOf(metrics, 'acme/one')).slice(0, 2), [0, 0])
  assert.deepEqual((await loadOf(metrics, 'acme/two')).slice(0, 2), [0, 1])
  await engines[0]?.stop()
  assert.deepEqual(await loadOf(metrics, 'acme/one'), [undefined, undefined, undefined])
  assert.deepEqual((await loadOf(metrics, 'acme/two')).slice(0, 2), [0, 1])
})
