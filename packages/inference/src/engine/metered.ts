// SPDX-License-Identifier: Apache-2.0
import { type Registry, tracing } from '@open-nemo/runtime'
import { Counter, Histogram } from 'prom-client'
import { type Load, showLoad } from './load.ts'
import type { Engine } from './types.ts'

/** Counts an engine's tokens, times its first ones, and shows what runs and waits, by base model. */
export function metered(engine: Engine, metrics: Registry, model: string): Engine {
  const tokens = tokenCounter(metrics)
  const first = firstTokenTimes(metrics)
  const load: Load = {
    waiting: 0,
    running: 0,
    most() {
      const state = engine.state()
      return state.status === 'ready' ? state.model.sequences : undefined
    },
  }
  const hide = showLoad(metrics, model, load)
  return {
    state: () => engine.state(),
    ready: (timeoutMs) => engine.ready(timeoutMs),
    embed: (inputs, signal) => engine.embed(inputs, signal),
    rank: (request, signal) => engine.rank(request, signal),
    tokenize: (request, signal) => engine.tokenize(request, signal),
    unload: (key) => engine.unload(key),
    stop: () => {
      hide()
      return engine.stop()
    },
    async *generate(request, signal) {
      const start = performance.now()
      let isFirst = true
      const span = tracing()?.begin({
        service: 'engine',
        name: 'generate',
        attributes: { 'gen_ai.request.model': model },
      })
      let phase: 'waiting' | 'running' = 'waiting'
      load.waiting++
      try {
        for await (const event of engine.generate(request, signal)) {
          if (event.type === 'start') {
            load.waiting--
            load.running++
            phase = 'running'
            tokens.inc({ model, kind: 'prompt' }, event.promptTokens)
            tokens.inc({ model, kind: 'cached' }, event.cachedTokens)
            span?.set({ 'gen_ai.usage.input_tokens': event.promptTokens })
          } else if (event.type === 'end') {
            tokens.inc({ model, kind: 'completion' }, event.completionTokens)
            span?.set({ 'gen_ai.usage.output_tokens': event.completionTokens })
          } else if (isFirst && event.type === 'text') {
            isFirst = false
            first.observe({ model }, (performance.now() - start) / 1000)
          }
          yield event
        }
      } catch (err) {
        span?.fail(err)
        throw err
      } finally {
        load[phase]--
        span?.end()
      }
    },
  }
}

function tokenCounter(metrics: Registry): Counter<'model' | 'kind'> {
  const name = 'inference_tokens_total'
  const known = metrics.getSingleMetric(name)
  if (known) return known as Counter<'model' | 'kind'>
  return new Counter({
    name,
    help: 'Tokens of prompts (of them cached) and of completions that ended',
    labelNames: ['model', 'kind'],
    registers: [metrics],
  })
}

function firstTokenTimes(metrics: Registry): Histogram<'model'> {
  const name = 'inference_first_token_seconds'
  const known = metrics.getSingleMetric(name)
  if (known) return known as Histogram<'model'>
  return new Histogram({
    name,
    help: 'Time from a request to its first text in seconds, waiting for a sequence included',
    labelNames: ['model'],
    buckets: [0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers: [metrics],
  })
}
