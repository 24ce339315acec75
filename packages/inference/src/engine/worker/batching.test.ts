// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BatchItem, Token } from 'node-llama-cpp'
import { Batching } from './batching.ts'

const item = (sequence: number, tokens: number): BatchItem => ({
  tokens: Array<Token>(tokens).fill(1 as Token),
  logits: [],
  evaluationPriority: Batching.place(sequence),
})
const shown = (batch: ReturnType<Batching['next']>) =>
  batch.map((each) => [each.item.evaluationPriority, each.processAmount])

async function* endless(): AsyncGenerator<number> {
  for (;;) yield 1
}

test('sequences are computed in the order of their numbers', () => {
  const { next } = new Batching()
  const items = [item(3, 1), item(0, 1), item(2, 1), item(1, 1)]
  const one = [0, 1, 2, 3].map((n) => [n, 1])
  assert.deepEqual(shown(next({ items, size: 512 })), one)
})

test('a batch waits for all that generate, but not for ever', async () => {
  const batching = new Batching()
  const steps = [0, 1, 2].map(() => batching.together(endless()))
  await Promise.all(steps.map((each) => each.next()))
  const late = { items: [item(0, 1), item(2, 1)], size: 8 }
  const all = { items: [...late.items, item(1, 1)], size: 8 }
  assert.deepEqual(batching.next(late), [])
  assert.equal(batching.next(all).length, 3)
  let passes = 0
  while (batching.next(late).length === 0) passes++
  assert.ok(passes > 3 && passes < 100, `${passes} passes`)
  await steps[1]?.return()
  assert.equal(batching.next(late).length, 2)
})

test('long prompts share a batch, and what one leaves goes to the others', () => {
  const { next } = new Batching()
  const items = [item(1, 500), item(0, 500), item(2, 1)]
  assert.deepEqual(shown(next({ items, size: 100 })), [
    [0, 66],
    [1, 33],
    [2, 1],
  ])
  const many = Array.from({ length: 8 }, (_, n) => item(n, 100))
  const batch = next({ items: many, size: 20 })
  assert.equal(
    batch.reduce((sum, each) => sum + each.processAmount, 0),
    20,
  )
})
