// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createTemplateEngine, fromPython } from './engine.ts'
import { compileSimple } from './simple.ts'

const engine = createTemplateEngine({ timeoutMs: 1500 })
after(() => engine.close())

const CONTEXT = {
  item: { q: ' hi ', list: [1, { a: 'é' }], none: null, yes: true, 'a-b': 'dash' },
  q: 'top',
}

test('templates that only insert values are rendered like all others', async () => {
  const cases: [string, string][] = [
    ['{{ q }}/{{item.q|trim}}', 'top/hi'],
    ['{{ item.list | tojson }}', '[1, {"a": "é"}]'],
    ['{{ item["a-b"] }} {{ item.list[1].a | upper }}', 'dash É'],
    ['{{ missing.deeper }}{{ item.none }}', ''],
    ['{{ item.yes }}', 'true'],
    ['no insertion\n', 'no insertion'],
  ]
  for (const [template, expected] of cases) {
    assert.ok(compileSimple(template), `${template} is simple`)
    assert.equal(await engine.render(template, CONTEXT), expected)
    // The same through the child process: a comment makes it a template that is not simple.
    assert.equal(await engine.render(`{# #}${template}`, CONTEXT), expected)
  }
})

test('loops, conditions and filters work', async () => {
  const template =
    '{% for x in item.list %}{% if loop.first %}{{ x }}{% endif %}{% endfor %} {{ q | replace("t", "T") }}'
  assert.equal(await engine.render(template, CONTEXT), '1 Top')
})

test('hostile templates are stopped, and others go on', async () => {
  const attacks: [string, RegExp][] = [
    ['{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}', /takes longer than/],
    ['{{ range(1000000000) | length }}', /memory/],
    [
      '{% set ns = namespace(x="aaaaaaaa") %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}',
      /memory|longer|length/,
    ],
    ['{{ "".constructor.constructor("return process")() }}', /cannot be used/],
    ['{{ item.', /cannot be used/],
  ]
  for (const [template, expected] of attacks) await assert.rejects(engine.render(template, CONTEXT), expected)
  const harmless = [
    '{{ item.__class__.__mro__ }}',
    '{{ item.constructor.prototype }}',
    '{{ item.__proto__ }}',
    '{{ process.env }}',
  ]
  for (const template of harmless) {
    assert.equal(await engine.render(template, CONTEXT), '')
    assert.equal(await engine.render(`{# #}${template}`, CONTEXT), '')
  }
  assert.equal(await engine.render('{% if q %}{{ q }}{% endif %}', CONTEXT), 'top')
})

test('a template of any JSON shape is rendered text by text', async () => {
  const template = { messages: [{ role: 'user', content: '{{ q }}' }], max_tokens: 3 }
  assert.deepEqual(await engine.renderAll(template, CONTEXT), {
    messages: [{ role: 'user', content: 'top' }],
    max_tokens: 3,
  })
})

test('regular expressions of Python are understood', async () => {
  assert.deepEqual(fromPython('(?is)\\A(?P<n>x)(?P=n)\\Z'), { pattern: '^(?<n>x)\\k<n>$', flags: 'is' })
  assert.deepEqual(await engine.match('(?i)score: (\\d+)(x)?', 'SCORE: 12'), ['SCORE: 12', '12', null])
  assert.equal(await engine.match('a', 'b'), null)
  await assert.rejects(engine.match('(', 'b'), /cannot be used/)
})
