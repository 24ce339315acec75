// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRandom, damaged } from '@open-nemo/runtime/testing/hostile.ts'
import { parseRows } from './rows.ts'

const FILES = {
  'a.jsonl': '{"question": "x", "answer": 1}\n\n{"question": "ä", "more": {"a": [1, null]}}\n',
  'a.json': '[{"question": "x"}, {"question": "y", "answer": {"deep": [true]}}]',
  'a.csv': 'question,answer\n"a ""quoted"" one","with\nlines"\nplain,2\n',
  'a.tsv': 'query-id\tcorpus-id\tscore\n1\t2\t1\n',
}

/** Reads rows that come in pieces of any size: they are objects, or the error names the file. */
async function isRefused(path: string, bytes: Uint8Array, next: () => number): Promise<boolean> {
  async function* pieces() {
    for (let at = 0; at < bytes.length; ) {
      const size = next()
      yield bytes.subarray(at, at + size)
      at += size
    }
  }
  try {
    for await (const row of parseRows(path, pieces()))
      assert.ok(typeof row === 'object' && row !== null && !Array.isArray(row))
    return false
  } catch (err) {
    assert.ok(err instanceof Error && err.message.includes(path), String(err))
    assert.ok(!(err instanceof TypeError || err instanceof RangeError), err.stack)
    return true
  }
}

test('damaged data sets are refused by name or read, never more', async () => {
  const random = createRandom(9)
  const next = () => random.integer(1, 30)
  for (const [path, text] of Object.entries(FILES)) {
    assert.equal(await isRefused(path, Buffer.from(text), next), false, path)
    let refused = 0
    for (let i = 0; i < 200; i++)
      if (await isRefused(path, damaged(Buffer.from(text), random), next)) refused++
    assert.ok(refused > 10, `only ${refused} of ${path} were refused`)
  }
})
