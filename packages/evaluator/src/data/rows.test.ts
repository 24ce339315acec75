// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRows } from './rows.ts'

async function rows(path: string, text: string | Uint8Array, size = 3): Promise<unknown[]> {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  async function* pieces() {
    for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size)
  }
  const out: unknown[] = []
  for await (const row of parseRows(path, pieces())) out.push(row)
  return out
}

test('jsonl is read line by line, wherever the pieces end', async () => {
  const text = '\ufeff{"a":"é"}\r\n\n{"a":2}'
  for (const size of [1, 2, 1000]) assert.deepEqual(await rows('x.jsonl', text, size), [{ a: 'é' }, { a: 2 }])
  await assert.rejects(rows('x.jsonl', '{"a":1}\n{"a":'), /x\.jsonl:2: is not JSON/)
  await assert.rejects(rows('x.jsonl', '[1]'), /x\.jsonl:1: a row must be a JSON object/)
  await assert.rejects(rows('x.jsonl', Buffer.from([0x7b, 0xff, 0x7d])), /x\.jsonl: is not UTF-8/)
})

test('json is a list, a list in `data`, one row, or lines after all', async () => {
  assert.deepEqual(await rows('x.json', '[{"a":1},{"a":2}]'), [{ a: 1 }, { a: 2 }])
  assert.deepEqual(await rows('x.json', '{"data":[{"a":1}]}'), [{ a: 1 }])
  assert.deepEqual(await rows('x.json', '{"a":1}'), [{ a: 1 }])
  assert.deepEqual(await rows('x.json', '{"a":1}\n{"a":2}\n'), [{ a: 1 }, { a: 2 }])
  await assert.rejects(rows('x.json', '{"a":'), /x\.json: is not JSON/)
})

test('csv has quotes, line ends in fields, and a header', async () => {
  const text = 'id,text\r\n1,"a ""b"", c\nd"\r\n2,\n\n3,x'
  for (const size of [1, 4, 1000]) {
    assert.deepEqual(await rows('x.csv', text, size), [
      { id: '1', text: 'a "b", c\nd' },
      { id: '2', text: '' },
      { id: '3', text: 'x' },
    ])
  }
  await assert.rejects(rows('x.csv', 'a\n1,2'), /record 2 has 2 fields, and the header has 1/)
  await assert.rejects(rows('x.csv', 'a\n"1'), /has no end/)
})
