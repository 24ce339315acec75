// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ToolCallParser } from './tool-calls.ts'

/** Feeds `text` in pieces of `size` characters and joins what comes out. */
function run(text: string, size: number) {
  const parser = new ToolCallParser()
  const pieces = text.match(new RegExp(`[\\s\\S]{1,${size}}`, 'g')) ?? []
  const out = [...pieces.map((p) => parser.push(p)), parser.flush()]
  return {
    content: out.map((o) => o.content).join(''),
    calls: out.flatMap((o) => o.calls.map((c) => [c.name, c.arguments])),
  }
}

const cases: [name: string, text: string, content: string, calls: [string, string][]][] = [
  ['plain text', 'Hello <b> there ', 'Hello <b> there ', []],
  ['one call', '<tool_call>\n{"name": "f", "arguments": {"a":  1}}\n</tool_call>', '', [['f', '{"a":  1}']]],
  [
    'text, then two calls',
    'Wait.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n<tool_call>\n{"name": "g", "arguments": "{}"}\n</tool_call>',
    'Wait.',
    [
      ['f', '{}'],
      ['g', '{}'],
    ],
  ],
  ['arguments first', '<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>', '', [['f', '{"a":1}']]],
  ['no arguments', '<tool_call>{"name": "f"}</tool_call>', '', [['f', '{}']]],
  ['not closed', '<tool_call>\n{"name": "f", "arguments": {}}', '', [['f', '{}']]],
  [
    'broken JSON is content',
    'x <tool_call>{"name": </tool_call> y',
    'x <tool_call>{"name": </tool_call> y',
    [],
  ],
  [
    'a call without a name is content',
    '<tool_call>{"a": 1}</tool_call>',
    '<tool_call>{"a": 1}</tool_call>',
    [],
  ],
  ['an open tag at the end', 'x <tool_', 'x <tool_', []],
]

for (const [name, text, content, calls] of cases) {
  test(`tool calls: ${name}`, () => {
    for (const size of [1, 3, 7, 1000])
      assert.deepEqual(run(text, size), { content, calls }, `pieces of ${size}`)
  })
}
