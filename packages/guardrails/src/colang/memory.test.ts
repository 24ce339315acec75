// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Message } from '../engine/types.ts'
import { newDialogState } from './machine.ts'
import { Memory } from './memory.ts'

const said = (text: string): Message[] => [{ role: 'user', content: text }]
const conversation = (history: string, n = 1) => ({ state: newDialogState({ n }), history })

test('a conversation is known by what was said in it, and not changed by who got it', () => {
  const memory = new Memory()
  memory.keep(said('a'), conversation('user "a"\n'))
  const known = memory.recall(said('a'))
  known.state.variables.n = 2
  assert.equal(memory.recall(said('a')).state.variables.n, 1)
  assert.deepEqual(memory.recall(said('b')), { state: newDialogState(), history: 'user "b"\n' })
})

test('the oldest go when there are too many, or too much of them', () => {
  const few = new Memory({ conversations: 2 })
  for (const text of ['a', 'b', 'c']) few.keep(said(text), conversation(text))
  assert.deepEqual(
    ['a', 'b', 'c'].map((text) => few.recall(said(text)).state.variables.n),
    [undefined, 1, 1],
  )
  const small = new Memory({ total: 5000, each: 3000 })
  for (const text of ['a', 'b', 'c']) small.keep(said(text), conversation(text.repeat(2000)))
  assert.deepEqual(
    ['a', 'b', 'c'].map((text) => small.recall(said(text)).state.variables.n),
    [undefined, 1, 1],
  )
  small.keep(said('d'), { state: newDialogState({ long: 'x'.repeat(4000) }), history: '' })
  assert.deepEqual(small.recall(said('d')).state, newDialogState())
  assert.equal(small.recall(said('c')).state.variables.n, 1)
})

test('of a long conversation the end is kept', () => {
  const memory = new Memory()
  const long = Array.from({ length: 5000 }, (_, i) => `user "line ${i}"\n`).join('')
  memory.keep(said('a'), conversation(long))
  const { history } = memory.recall(said('a'))
  assert.ok(
    history.length <= 20_000 && history.startsWith('user "line ') && history.endsWith('"line 4999"\n'),
  )
  const parts: Message[] = [{ role: 'user', content: [{ type: 'text', text: 'in parts' }] }]
  assert.equal(memory.recall(parts).history, 'user "in parts"\n')
})
