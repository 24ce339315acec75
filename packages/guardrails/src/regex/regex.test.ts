// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createRegexGuard } from './guard.ts'
import { fromPython } from './python.ts'

const guard = createRegexGuard({ limitMs: 100 })
after(() => guard.close())

const matches = (pattern: string, text: string, i = false) => {
  const { source, flags } = fromPython(pattern, i)
  return new RegExp(source, flags).test(text)
}

test('patterns of Python', () => {
  assert.ok(matches('(?i)foo', 'FOO') && matches('foo', 'FOO', true) && !matches('foo', 'FOO'))
  assert.ok(matches('(?P<a>x)y(?P=a)', 'xyx'))
  assert.ok(matches('\\Afoo\\Z', 'foo') && !matches('\\Afoo', 'a\nfoo'))
  assert.ok(matches('\\\\A', '\\A'))
  assert.ok(matches('\\b\u00fcber\\b', 'sehr \u00fcber') && !matches('\\bber', '\u00fcber'))
  assert.ok(matches('^\\w+$', 'na\u00efve\n') && matches('a.b', 'a\rb') && !matches('a.b', 'a\nb'))
  assert.ok(
    matches('[]x]{2}', ']x') && matches('a{,2}b{x}', 'aab{x}') && matches("it\\'s \\@ \\-", "it's @ -"),
  )
  assert.ok(matches('[\\w-]+@[a-z\\d.]+', 'a-b@c.d') && matches('\\u00e9\\x41', '\u00e9A'))
  assert.ok(matches('(?i:foo)bar', 'FOObar') && matches('(a)\\1', 'aa') && matches('\\d', '\u0663'))
  assert.throws(() => fromPython('(?>a)'), /atomic/)
  assert.throws(() => fromPython('\\q'), /escape/)
  assert.throws(() => fromPython('[a'), /no end/)
  assert.throws(() => fromPython('(?x) a'), /verbose/)
  assert.throws(() => fromPython('(a'), /Unterminated|Invalid/)
})

test('a pattern that runs away is stopped, and the next one is served', async () => {
  const bomb = [fromPython('(a+)+$')]
  const results = await Promise.allSettled([
    guard.test(bomb, `${'a'.repeat(50)}!`),
    guard.test([fromPython('b+'), fromPython('c+')], 'xccx'),
    guard.find([fromPython('c+')], 'xccxc'),
  ])
  assert.equal(results[0].status, 'rejected')
  assert.match(String(results[0].status === 'rejected' && results[0].reason), /longer than 100 ms/)
  assert.deepEqual(results[1].status === 'fulfilled' && results[1].value, [1])
  assert.deepEqual(results[2].status === 'fulfilled' && results[2].value, [
    [0, 1, 3],
    [0, 4, 5],
  ])
})

test('words are looked for without a thread', async () => {
  assert.deepEqual(await guard.test([fromPython('foo|bar'), fromPython('z')], 'a bar'), [0])
})
