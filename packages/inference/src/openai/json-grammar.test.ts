// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { answerGrammar } from './grammar.ts'
import { GrammarBuilder, literal } from './json-grammar.ts'
import { matches } from './testing.ts'

const grammarOf = (schema: Record<string, unknown>, strict = false) => {
  const builder = new GrammarBuilder({ strict })
  return builder.build(builder.schema(schema))
}

/** Schema, texts it allows, texts it does not. */
const cases: [name: string, schema: Record<string, unknown>, yes: string[], no: string[]][] = [
  ['integer', { type: 'integer' }, ['0', '-12', '7'], ['01', '1.5', '"1"', '']],
  ['number', { type: 'number' }, ['0', '-1.5', '2e10'], ['.5', '+1']],
  ['string', { type: 'string' }, ['""', '"aé\\n\\u00e9"'], ['"a\nb"', 'a', '"\\x"']],
  ['length', { type: 'string', minLength: 2, maxLength: 3 }, ['"ab"', '"abc"'], ['"a"', '"abcd"']],
  ['enum', { enum: ['a"b', 1, null] }, ['"a\\"b"', '1', 'null'], ['2', '"a"']],
  ['const object', { const: { a: [1, 'x'] } }, ['{"a": [1, "x"]}'], ['{"a":[1,"x"]}']],
  ['several types', { type: ['boolean', 'null'] }, ['true', 'null'], ['0']],
  ['nullable', { type: 'boolean', nullable: true }, ['false', 'null'], ['""']],
  ['date', { type: 'string', format: 'date' }, ['"2025-02-31"'], ['"2025-13-01"']],
  ['array', { type: 'array', items: { type: 'integer' } }, ['[]', '[1, 2]'], ['[1,2]', '["a"]']],
  [
    'array limits',
    { type: 'array', items: { type: 'integer' }, minItems: 1, maxItems: 2 },
    ['[1]', '[1, 2]'],
    ['[]', '[1, 2, 3]'],
  ],
  ['tuple', { prefixItems: [{ type: 'integer' }, { type: 'null' }] }, ['[1, null]'], ['[1]', '[1, null, 2]']],
  [
    'required and optional',
    {
      type: 'object',
      properties: { a: { type: 'integer' }, b: { type: 'null' }, c: { type: 'null' } },
      required: ['b'],
    },
    ['{"b": null}', '{"b": null, "a": 1}', '{"b": null, "a": 1, "c": null}', '{"b": null, "c": null}'],
    ['{}', '{"a": 1}', '{"b": null, "x": 1}', '{"b": null, }'],
  ],
  [
    'all optional',
    { type: 'object', properties: { a: { type: 'integer' }, b: { type: 'null' } } },
    ['{}', '{"a": 1}', '{"b": null}', '{"a": 1, "b": null}'],
    ['{, "b": null}'],
  ],
  [
    'further properties',
    { type: 'object', properties: { a: { type: 'integer' } }, additionalProperties: { type: 'boolean' } },
    ['{}', '{"a": 1, "x": true}', '{"x": true, "y": false}'],
    ['{"x": 1}'],
  ],
  ['closed', { type: 'object', additionalProperties: false }, ['{}'], ['{"a": 1}']],
  ['any object', { type: 'object' }, ['{}', '{"a": {"b": [1, null]}}'], ['[]']],
  ['anything', {}, ['1', '"x"', '{"a": []}'], ['x']],
  [
    'a tree',
    {
      $ref: '#/$defs/node',
      $defs: {
        node: {
          type: 'object',
          properties: {
            v: { type: 'integer' },
            next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] },
          },
          required: ['v', 'next'],
        },
      },
    },
    ['{"v": 1, "next": null}', '{"v": 1, "next": {"v": 2, "next": null}}'],
    ['{"v": 1}'],
  ],
  [
    'allOf',
    {
      allOf: [
        { type: 'object', properties: { a: { type: 'integer' } }, required: ['a'] },
        { properties: { b: { type: 'null' } }, required: ['b'] },
      ],
    },
    ['{"a": 1, "b": null}'],
    ['{"a": 1}'],
  ],
]

for (const [name, schema, yes, no] of cases) {
  test(`schema: ${name}`, () => {
    const grammar = grammarOf(schema)
    for (const text of yes) assert.ok(matches(grammar, text), `${text} must be allowed by\n${grammar}`)
    for (const text of no) assert.ok(!matches(grammar, text), `${text} must not be allowed by\n${grammar}`)
  })
}

test('what cannot be enforced is refused when strict and left out otherwise', () => {
  const schema = { type: 'string', pattern: '^a' }
  assert.ok(matches(grammarOf(schema), '"b"'))
  assert.throws(() => grammarOf(schema, true), /pattern cannot be enforced/)
})

test('schemas that are none are refused in words', () => {
  for (const [schema, reason] of [
    [{ type: 'text' }, /no type "text"/],
    [{ $ref: 'http://x/y' }, /not inside/],
    [{ $ref: '#/$defs/none' }, /not there/],
    [{ enum: [] }, /no value/],
    [{ anyOf: [1] }, /stands where a schema/],
    [{ type: 'string', minLength: 3, maxLength: 1 }, /cannot be at least 3/],
  ] as const) {
    assert.throws(() => grammarOf(schema), { name: 'SchemaError', message: reason })
  }
})

test('literals hold quotes, backslashes and control characters', () => {
  assert.equal(literal('a"\\\n'), '"a\\"\\\\\\x0A"')
})

const tools = [
  {
    type: 'function' as const,
    function: {
      name: 'f',
      parameters: { type: 'object', properties: { x: { type: 'integer' } }, required: ['x'] },
    },
  },
  { type: 'function' as const, function: { name: 'g' } },
]
const call = (name: string, args: string) =>
  `<tool_call>\n{"name": "${name}", "arguments": ${args}}\n</tool_call>`

test('a forced tool call is a call of a tool with arguments of its schema', () => {
  const grammar = answerGrammar({ tools, tool_choice: 'required' }) ?? ''
  assert.ok(matches(grammar, call('f', '{"x": 1}')))
  assert.ok(matches(grammar, call('g', '{"any": []}')))
  for (const bad of ['hello', call('f', '{}'), call('h', '{}'), `${call('g', '{}')}\n${call('g', '{}')}`]) {
    assert.ok(!matches(grammar, bad), bad)
  }
  const named = answerGrammar({ tools, tool_choice: { type: 'function', function: { name: 'g' } } }) ?? ''
  assert.ok(!matches(named, call('f', '{"x": 1}')))
  const several = answerGrammar({ tools, tool_choice: 'required', parallel_tool_calls: true }) ?? ''
  assert.ok(matches(several, `${call('g', '{}')}\n${call('f', '{"x": 2}')}`))
})

test('free text has no grammar; JSON and tools together allow either', () => {
  assert.equal(answerGrammar({ tools }), undefined)
  assert.equal(answerGrammar({ tools, tool_choice: 'none' }), undefined)
  assert.equal(answerGrammar({ response_format: { type: 'text' } }), undefined)
  const both = answerGrammar({ tools, response_format: { type: 'json_object' } }) ?? ''
  assert.ok(matches(both, '{"a": 1}') && matches(both, call('g', '{}')))
})

test('a function that is not there is named', () => {
  assert.throws(() => answerGrammar({ tools, tool_choice: { type: 'function', function: { name: 'q' } } }), {
    code: 'TOOL_NOT_FOUND',
    message: /function q/,
  })
  assert.throws(() => answerGrammar({ tool_choice: 'required' }), { code: 'PARAMETER_NOT_SUPPORTED' })
  assert.throws(() => answerGrammar({ response_format: { type: 'json_schema' } }), {
    code: 'SCHEMA_NOT_SUPPORTED',
  })
})
