// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { between, leaves, readValues, valuesSchema, valuesTable } from '../../tools/charts/values.ts'

const text = `# About the file.

# Of the whole.
# @schema {"enum": ["a", "b"]}
mode: a
part:
  # How | many.
  count: 2
  image:
    tag: "1"
  # @schema {"$ref": "#/$defs/resources"}
  resources:
    requests: { cpu: 1m }
`

test('comments above keys become descriptions, a schema and a table', () => {
  const values = readValues(text)
  assert.deepEqual(
    leaves(values).map(({ path, description }) => [path, description]),
    [
      ['mode', 'Of the whole.'],
      ['part.count', 'How | many.'],
      ['part.image.tag', 'Tag of the image.'],
      ['part.resources', 'Requests and limits.'],
    ],
  )
  const schema = valuesSchema(values, ['sub']) as {
    properties: Record<string, object>
    additionalProperties: boolean
  }
  assert.equal(schema.additionalProperties, false)
  assert.deepEqual(schema.properties.mode, { enum: ['a', 'b'], description: 'Of the whole.' })
  assert.deepEqual(Object.keys(schema.properties), ['mode', 'part', 'sub'])
  assert.ok(valuesTable(values).includes('| `part.count` | `2` | How \\| many. |'))
  assert.throws(() => valuesSchema(readValues('list: []\n')), /list: its default does not tell its type/)
})

test('a generated text goes between its marks, and nowhere else', () => {
  const page = 'a\n<!-- x: made -->\nold\n<!-- /x -->\nb\n'
  assert.equal(between(page, 'x', 'new'), 'a\n<!-- x: made -->\nnew\n<!-- /x -->\nb\n')
  assert.equal(between(page, 'y', 'new'), undefined)
})
