// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRandom, damaged } from '@open-nemo/runtime/testing/hostile.ts'
import { createLineChecker, DataError } from './lines.ts'
import { rowCheck } from './rows.ts'

const GOOD = [
  { prompt: 'a', completion: 'b' },
  {
    messages: [
      { role: 'user', content: 'x' },
      { role: 'assistant', content: 'y' },
    ],
  },
  { prompt: 'ä\u2028\ud83d\ude00', completion: 1, more: { deep: [null, true] } },
]
const BODY = Buffer.from(GOOD.map((row) => `${JSON.stringify(row)}\n`).join(''))

/** Checks a body that comes in pieces of any size: what is refused names its file. */
function isRefused(
  bytes: Uint8Array,
  random: ReturnType<typeof createRandom>,
  format: string,
  training = 'sft',
): boolean {
  const checker = createLineChecker('training/a.jsonl', rowCheck(training, format))
  try {
    for (let at = 0; at < bytes.length; ) {
      const size = random.integer(1, 40)
      checker.write(bytes.subarray(at, at + size))
      at += size
    }
    assert.ok(checker.flush() > 0)
    return false
  } catch (err) {
    assert.ok(err instanceof DataError, err instanceof Error ? err.stack : String(err))
    assert.match(err.message, /training\/a\.jsonl/)
    return true
  }
}

test('damaged JSONL is refused with its place, or taken, never more', () => {
  const random = createRandom(3)
  let refused = 0
  for (let i = 0; i < 600; i++)
    if (isRefused(damaged(BODY, random), random, '{prompt} {completion}')) refused++
  assert.ok(refused > 200, `only ${refused} were refused`)
})

test('damaged and strange rows of queries and documents are refused with their place, or taken', () => {
  const random = createRandom(5)
  const rows = [
    { query: 'ä', pos_doc: 'b', neg_doc: ['c', 'd'] },
    { query: 'x', pos_doc: 'y', neg_doc: [] },
  ]
  const body = Buffer.from(rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  const check = (bytes: Uint8Array) => isRefused(bytes, random, '{prompt} {completion}', 'embedding')
  assert.equal(check(body), false)
  let refused = 0
  for (let i = 0; i < 600; i++) if (check(damaged(body, random))) refused++
  assert.ok(refused > 200, `only ${refused} were refused`)
  for (const strange of [
    '{"__proto__": {"query": "a", "pos_doc": "b"}}',
    '{"query": {"trim": 1}, "pos_doc": "b"}',
    '{"query": "a", "pos_doc": "b", "neg_doc": {"length": 3}}',
    '{"query": "a", "pos_doc": "b", "neg_doc": [[["c"]]]}',
    '{"query": "a", "pos_doc": "b", "neg_doc": 0}',
    'null',
  ])
    assert.equal(check(Buffer.from(`${strange}\n`)), true, strange)
})

test('rows that are no rows, and prompt templates that are no templates', () => {
  const random = createRandom(4)
  const rows = [
    'null',
    '[]',
    '1e999',
    '"x"',
    '{"__proto__": {"prompt": 1}, "constructor": null}',
    `{"messages": ${'['.repeat(5000)}${']'.repeat(5000)}}`,
    '{"messages": {"length": 2}}',
    '{"messages": [null, 7, {"role": {}}]}',
    '{"prompt": {"toString": 1}, "completion": []}',
    '\u0000',
    '{"prompt": "\\ud800", "completion": "\\u0000"}',
  ]
  const templates = ['{prompt} {completion}', '{', '{__proto__}', '{constructor}', '{}{{}}', '{prompt!r:>10}']
  for (const row of rows)
    for (const template of templates) isRefused(Buffer.from(`${row}\n`), random, template)
})
