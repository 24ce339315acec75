// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Template } from '@huggingface/jinja'
import { parseTemplate, renderTemplate, TemplateLimitError } from './bounded.ts'

const render = (source: string, values: Record<string, unknown> = {}) =>
  renderTemplate(parseTemplate(source), values)

test('templates render as the library renders them', () => {
  const values = { messages: [{ role: 'user', content: 'hi' }, { role: 'assistant' }], n: 3, none_here: null }
  const sources = [
    "{% for m in messages %}<{{ m.role }}>{{ m['content'] }}{{ loop.last }}{% endfor %}",
    '{% for i in range(1, 10, 3) %}{{ i }},{% endfor %}{% for i in range(n) %}{{ i }}{% endfor %}',
    '{% for i in range(5, 0, -2) %}{{ i }}{% endfor %}{{ range(0)|length }}',
    '{% set x = namespace(a=1) %}{% set x.a = x.a + n %}{{ x.a }}{{ True and not false }}{{ None }}',
    "{{ strftime_now('%Y-%m-%d %b %B 100%%') }}{{ messages|length }}{{ messages | tojson }}",
    "{% macro f(a, b='x') %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{{ none_here is none }}",
  ]
  for (const source of sources) assert.equal(render(source, values), new Template(source).render(values))
  assert.throws(() => render("{{ raise_exception('no system role') }}"), /^Error: no system role$/)
})

test('what would stop the process or fill its memory is ended, soon', () => {
  const loops = (depth: number) =>
    `${'{% for i in range(1000) %}'.repeat(depth)}x${'{% endfor %}'.repeat(depth)}`
  const doubled = (start: string, times: number) =>
    `{% set n = namespace(x=${start}) %}{% for i in range(${times}) %}{% set n.x = n.x + n.x %}{% endfor %}`
  const hostile = [
    loops(4),
    '{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}',
    `{% set n = namespace(x='${'ab'.repeat(200)}') %}{% for i in range(13) %}{% set n.x = n.x + n.x %}{% endfor %}{% for i in range(100000) %}{{ n.x|replace('ab', 'ba')|length }}{% endfor %}`,
    '{% for i in range(1000000000000) %}{% endfor %}',
    doubled("'abcdefgh'", 60),
    doubled('[1, 2]', 60),
    `{{ ${'('.repeat(50_000)}1${')'.repeat(50_000)} }}`,
    `{% if ${'not '.repeat(100_000)} true %}{% endif %}`,
    `{% set a = 'x' %}${"{% set a = a|replace('x', 'xxxxxxxxxx') %}".repeat(12)}`,
  ]
  for (const source of hostile) {
    const begun = performance.now()
    assert.throws(() => render(source), TemplateLimitError, source.slice(0, 60))
    assert.ok(performance.now() - begun < 20_000, source.slice(0, 60))
  }
})
