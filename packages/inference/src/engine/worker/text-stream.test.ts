// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StopFilter, TokenDecoder } from './text-stream.ts'

function run(stops: string[], pieces: string[]) {
  const filter = new StopFilter(stops)
  let text = ''
  for (const piece of pieces) {
    const out = filter.push(piece)
    text += out.text
    if (out.stopped) return { text, stopped: true }
  }
  return { text: text + filter.flush(), stopped: false }
}

test('text ends before the first stop sequence, however it is cut into pieces', () => {
  const text = 'one two\n\nthree END four'
  for (const size of [1, 2, 5, 100]) {
    const pieces = text.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? []
    assert.deepEqual(run(['END', '\n\n'], pieces), { text: 'one two', stopped: true })
    assert.deepEqual(run(['EN D', 'fourx'], pieces), { text, stopped: false })
    assert.deepEqual(run([''], pieces), { text, stopped: false })
  }
})

test('what may become a stop sequence is held back, and no more', () => {
  const filter = new StopFilter(['STOP'])
  assert.equal(filter.push('a ST').text, 'a ')
  assert.equal(filter.push('OR').text, 'STOR')
})

test('characters of several tokens come whole', () => {
  const bytes = [...Buffer.from('é🙂x')]
  const decoder = new TokenDecoder<number>((some) => Buffer.from(some).toString('utf8'))
  assert.deepEqual(
    bytes.map((b) => decoder.push(b)),
    ['', 'é', '', '', '', '🙂', 'x'],
  )
  assert.equal(decoder.push(0xf0), '')
  assert.equal(decoder.flush(), '\ufffd')
  assert.equal(decoder.flush(), '')
})
