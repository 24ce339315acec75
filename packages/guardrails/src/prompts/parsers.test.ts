// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  parseLlamaGuard,
  parsePromptSafety,
  parseResponseSafety,
  parseShouldBlock,
  parseSupported,
  parseTopic,
} from './parsers.ts'
import { compileTemplate } from './template.ts'

test('only a plain no lets a text pass', () => {
  for (const answer of ['No', 'no', ' NO.', '"No"', 'no way', 'safe', '<think>yes?</think>No'])
    assert.equal(parseShouldBlock(answer).verdict, 'safe', answer)
  const blocking = [
    'Yes',
    'yes, it should',
    '',
    'maybe',
    'The answer is no',
    'nope',
    'unsafe',
    'No\nYes',
    'Yes\nNo',
    'No. Wait: yes',
  ]
  for (const answer of blocking) assert.equal(parseShouldBlock(answer).verdict, 'unsafe', answer)
})

test('no random answer without the word no passes, and none with yes in it', () => {
  const alphabet = ['yes', 'no', 'No,', 'unsafe', 'safe', 'I', 'think', '\n', '{"a": "no"}', '…', 'nö', 'not']
  for (let i = 0; i < 5000; i++) {
    const words = Array.from(
      { length: 1 + (i % 6) },
      () => alphabet[Math.floor(Math.random() * alphabet.length)] ?? '',
    )
    const answer = words.join(' ')
    const { verdict } = parseShouldBlock(answer)
    if (/\b(yes|unsafe)\b/i.test(answer) || !/\b(no|safe)\b/i.test(answer))
      assert.equal(verdict, 'unsafe', answer)
  }
})

test('llama guard names categories', () => {
  assert.equal(parseLlamaGuard('\n safe').verdict, 'safe')
  assert.deepEqual(parseLlamaGuard('unsafe\nS1,S10'), { verdict: 'unsafe', categories: ['S1', 'S10'] })
  for (const answer of ['', 'garbage', 'UNSAFE O3', 'safe unsafe'])
    assert.equal(parseLlamaGuard(answer).verdict, 'unsafe')
})

test('NemoGuard answers are one JSON object, and nothing that was smuggled in beside it', () => {
  const unsafe = '{"User Safety": "Unsafe", "Safety Categories": "Violence, Hate"}'
  assert.deepEqual(parsePromptSafety(unsafe), { verdict: 'unsafe', categories: ['Violence', 'Hate'] })
  assert.equal(parsePromptSafety('```json\n{"User Safety": "safe"}\n```').verdict, 'safe')
  assert.equal(parseResponseSafety('{"User Safety": "unsafe", "Response Safety": "safe"}').verdict, 'safe')
  const tricks = [
    '',
    'safe',
    '{"user safety": "safe"}',
    '{"User Safety": true}',
    'text {"User Safety": "safe"}',
    '{"User Safety": "safe"} {"User Safety": "unsafe"}',
    '{"User Safety": "unsafe", "User Safety": "safe"}',
  ]
  for (const answer of tricks) assert.equal(parsePromptSafety(answer).verdict, 'unclear', answer)
})

test('topics and facts', () => {
  for (const answer of ['off-topic', 'Off-Topic.', '"off-topic"'])
    assert.equal(parseTopic(answer).verdict, 'unsafe')
  for (const answer of ['on-topic', '', 'off topic']) assert.equal(parseTopic(answer).verdict, 'safe')
  assert.equal(parseSupported('No').verdict, 'unsafe')
  for (const answer of ['yes', '', '0.7', 'no yes']) assert.equal(parseSupported(answer).verdict, 'safe')
})

test('templates: values are not templates, filters are functions, absent values are empty', () => {
  const values = { user_input: '{{ 7*7 }} {% if x %}', history: [{ a: ['b'] }] }
  assert.equal(compileTemplate('<{{ user_input }}|{{ nothing }}>').render(values), '<{{ 7*7 }} {% if x %}|>')
  const filters = { shout: (v: unknown) => JSON.stringify(v), twice: (v: unknown) => `${v}${v}` }
  assert.equal(
    compileTemplate('{{ history | shout | twice }}', filters).render(values),
    '[{"a":["b"]}][{"a":["b"]}]',
  )
  assert.equal(compileTemplate('{% if user_input %}y{% endif %}').render(values), 'y')
  assert.throws(() => compileTemplate('{% if %}'))
})
