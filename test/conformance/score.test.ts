// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { scores } from './score.ts'

const line = (endpoint: string, more: { ok: boolean; refused?: boolean }) => ({
  service: 'inference',
  operation: 'x',
  endpoints: [endpoint],
  ...more,
})

test('an operation passes when all that was tried with it worked, and a refusal is counted apart', () => {
  const [score] = scores([
    line('POST /v1/completions', { ok: true }),
    line('POST /v1/completions', { ok: true, refused: true }),
    line('POST /v1/chat/completions', { ok: true }),
    line('POST /v1/chat/completions', { ok: false }),
    line('POST /v1/classify', { ok: true, refused: true }),
  ])
  assert.deepEqual(score?.passed, ['POST /v1/completions'])
  assert.deepEqual(score?.failed, ['POST /v1/chat/completions'])
  assert.deepEqual(score?.refused, ['POST /v1/classify'])
  assert.equal(score?.untried.length, score === undefined ? -1 : score.total - 3)
})

test('an endpoint that is not in the inventory is a mistake of the driver', () => {
  assert.throws(() => scores([line('POST /v1/chats', { ok: true })]), /no POST \/v1\/chats/)
})
