// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { type Span, setTracing, type Tracing } from '@open-nemo/runtime/telemetry/tracing.ts'
import { trainerSpans } from './trainer-spans.ts'

interface Kept {
  name: string
  parent: string | undefined
  from: string
  to?: string
  failed?: string
  attributes: Record<string, unknown>
}

let kept: Kept[]
let active: Kept | undefined
const time = (at: Date | undefined) => at?.toISOString().slice(17, 19) ?? 'now'
const of = new Map<Span, Kept>()

const recording: Tracing = {
  begin(spec) {
    const record: Kept = {
      name: spec.name,
      parent: active?.name,
      from: time(spec.at),
      attributes: { ...spec.attributes },
    }
    kept.push(record)
    const span: Span = {
      carrier: {},
      set: (attributes) => Object.assign(record.attributes, attributes),
      rename() {},
      fail: (reason) => {
        record.failed = String(reason)
      },
      end: (at) => {
        record.to ??= time(at)
      },
    }
    of.set(span, record)
    return span
  },
  inside(span, work) {
    active = of.get(span)
    try {
      return work()
    } finally {
      active = undefined
    }
  },
  carrier: () => undefined,
  ignores: () => false,
  async stop() {},
}

beforeEach(() => {
  kept = []
  setTracing(recording)
})
afterEach(() => setTracing(undefined))

const at = (second: number) => `2026-01-01T00:00:${String(second).padStart(2, '0')}.000Z`

test('a training and its steps have the times that the trainer told', () => {
  const spans = trainerSpans('cust-1')
  spans.take([{ t: at(1), event: 'started', steps_total: 2, train_rows: 8 }])
  spans.take([
    { t: at(4), event: 'progress', step: 1, train_loss: 2.5 },
    { t: at(6), event: 'progress', step: 2 },
    { t: at(7), event: 'validation', step: 2, val_loss: 1.5 },
    { t: at(9), event: 'completed', steps: 2, train_loss: 2 },
  ])
  spans.end()
  assert.deepEqual(
    kept.map(({ name, parent, from, to }) => [name, parent, from, to]),
    [
      ['training', undefined, '01', '09'],
      ['training step', 'training', '01', '04'],
      ['training step', 'training', '04', '06'],
      ['validation', 'training', '06', '07'],
    ],
  )
  assert.deepEqual(kept[1]?.attributes, { 'nemo.step': 1, 'nemo.train_loss': 2.5 })
  assert.equal(kept[0]?.attributes['nemo.steps'], 2)
})

test('a trainer that is attached in the middle, fails, or vanishes leaves no span open', () => {
  const spans = trainerSpans('cust-1')
  spans.take([
    { t: at(5), event: 'progress', step: 3 },
    { t: at(6), event: 'failed', message: 'no memory' },
    { t: 'never', event: 'progress', step: 4 },
  ])
  assert.deepEqual([kept[0]?.name, kept[0]?.to, kept[0]?.failed], ['training', '06', 'no memory'])
  spans.take([{ t: at(8), event: 'started' }])
  spans.end()
  assert.ok(kept.every((one) => one.to !== undefined))
  assert.equal(kept.length, 3)
})

test('without traces nothing is made', () => {
  setTracing(undefined)
  const spans = trainerSpans('cust-1')
  spans.take([{ t: at(1), event: 'started' }])
  spans.end()
  assert.equal(kept.length, 0)
})
