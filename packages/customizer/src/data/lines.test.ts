// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLineChecker } from './lines.ts'
import { rowCheck } from './rows.ts'

/** Number of rows, or the message of the error; the bytes come in pieces of `size`. */
function check(content: string | Uint8Array, size = 7, training = 'sft'): number | string {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  const checker = createLineChecker('training/x.jsonl', rowCheck(training, '{prompt} {completion}'))
  try {
    for (let at = 0; at < bytes.length; at += size) checker.write(bytes.subarray(at, at + size))
    return checker.flush()
  } catch (err) {
    return (err as Error).message
  }
}
const GOOD = '{"prompt":"ü","completion":"b"}'

test('rows are counted whatever the pieces, empty lines and the last line break are', () => {
  for (const size of [1, 3, 1000]) {
    assert.equal(check(`${GOOD}\n\n${GOOD}\r\n${GOOD}`, size), 3)
    assert.equal(check(`\ufeff${GOOD}\n`, size), 1)
  }
})

test('each fault is told with its file and line', () => {
  const cases: [string | Uint8Array, RegExp][] = [
    ['', /^training\/x\.jsonl: the file has no rows/],
    ['\n \n', /no rows/],
    [`${GOOD}\n{"prompt":`, /^training\/x\.jsonl, line 2: the line is not JSON/],
    [`${GOOD}\n[1]`, /line 2: the line is not a JSON object/],
    [`${GOOD}\n\n{"prompt":"a"}`, /line 3: the row has no field "completion" \(it has: prompt\)/],
    ['{"prompt":"a","completion":5}', /line 1: the field "completion" is not a string/],
    [Buffer.from('{"prompt":"\xfc"}', 'latin1'), /line 1: the line is not UTF-8/],
    [Buffer.from('\ufeffabc', 'utf16le'), /the file is UTF-16/],
    [new Uint8Array([0x1f, 0x8b, 8, 0]), /compressed with gzip/],
  ]
  for (const [content, message] of cases) assert.match(String(check(content)), message)
})

test('chats are checked turn by turn', () => {
  const chat = (messages: unknown, more = {}) => check(JSON.stringify({ messages, ...more }), 50)
  const user = { role: 'user', content: 'hi' }
  const call = {
    role: 'assistant',
    content: null,
    tool_calls: [{ function: { name: 'f', arguments: { a: 1 } } }],
  }
  assert.equal(chat([user, call, { role: 'tool', content: '1' }, { role: 'assistant', content: 'ok' }]), 1)
  const cases: [unknown, RegExp][] = [
    [[], /messages is not a list of at least one/],
    ['x', /messages is not a list/],
    [[user], /no assistant turn/],
    [[user, 'x'], /messages\[1\] is not an object with a role/],
    [[user, { role: 'assistant', content: null }], /messages\[1\] has neither content nor tool_calls/],
    [[user, { role: 'assistant', content: 5 }], /messages\[1\]\.content is neither text nor null/],
    [[user, { role: 'assistant', tool_calls: {} }], /messages\[1\]\.tool_calls is not a list/],
  ]
  for (const [messages, message] of cases) assert.match(String(chat(messages)), message)
  assert.match(String(chat([user, call], { tools: 'x' })), /tools is not a list/)
})

test('preferences have a prompt and two answers', () => {
  const pair = (row: unknown) => check(JSON.stringify(row), 50, 'dpo')
  const user = { role: 'user', content: 'hi' }
  const answer = { role: 'assistant', content: 'ok' }
  for (const good of [
    { prompt: 'a', chosen_response: 'b', rejected_response: 'c' },
    { prompt: 'a', chosen: 'b', rejected: 'c' },
    { prompt: [user], chosen_response: 'b', rejected_response: 'c' },
    { prompt: [user], chosen: [answer], rejected: { ...answer, content: 'no' } },
    { chosen: [user, answer], rejected: [user, { ...answer, content: 'no' }] },
  ]) {
    assert.equal(pair(good), 1)
  }
  const cases: [unknown, RegExp][] = [
    [[], /not a JSON object/],
    [{ prompt: 'a', completion: 'b' }, /no field "chosen_response" \(it has: prompt, completion\)/],
    [{ prompt: 'a', chosen: 'b' }, /no field "rejected_response"/],
    [{ chosen: 'b', rejected: 'c' }, /no field "prompt"/],
    [{ prompt: 'a', chosen: 'b', rejected: '' }, /"rejected" is neither text nor a message/],
    [{ prompt: 5, chosen: [answer], rejected: 'c' }, /"prompt" is neither text nor a list of messages/],
    [{ prompt: [user], chosen: [user], rejected: 'c' }, /no assistant turn/],
    [{ prompt: 'a', chosen: 'b', rejected: 'b' }, /are the same/],
  ]
  for (const [row, message] of cases) assert.match(String(pair(row)), message)
})

test('rows of embedding models have a query, its document and texts that are none', () => {
  const row = (change: object) => JSON.stringify({ query: 'q', pos_doc: 'p', neg_doc: ['n'], ...change })
  for (const good of [{}, { neg_doc: [] }, { neg_doc: undefined }, { neg_doc: 'one' }]) {
    assert.equal(check(row(good), 50, 'embedding'), 1)
  }
  const cases: [object, RegExp][] = [
    [{ query: undefined }, /line 2: the row has no field "query" \(it has: pos_doc, neg_doc\)/],
    [{ query: ['q'] }, /line 2: the field "query" is not a text/],
    [{ pos_doc: ' ' }, /line 2: the field "pos_doc" is not a text/],
    [{ neg_doc: { a: 1 } }, /line 2: the field "neg_doc" is not a list/],
    [{ neg_doc: ['n', ''] }, /line 2: neg_doc\[1\] is not a text/],
    [{ neg_doc: ['n', 'p'] }, /line 2: neg_doc\[1\] is the same text as pos_doc/],
  ]
  for (const [change, message] of cases) {
    assert.match(String(check(`${row({})}\n${row(change)}`, 50, 'embedding')), message)
  }
})
