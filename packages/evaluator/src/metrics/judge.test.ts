// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createTemplateEngine } from '../templates/engine.ts'
import { parseScore, scoreSpecs } from './judge-scores.ts'

const templates = createTemplateEngine({ timeoutMs: 1500 })
after(() => templates.close())

async function score(spec: unknown, answer: string) {
  const specs = scoreSpecs({ s: spec })
  if (typeof specs === 'string') return specs
  return specs[0] && (await parseScore(specs[0], answer, templates))
}

test('a score is read by a regular expression, from JSON, or as the last number', async () => {
  const regex = (pattern: string, type = 'int') => ({ type, parser: { type: 'regex', pattern } })
  assert.equal(await score(regex('SCORE: (\\\\d)'.replace('\\\\', '\\')), 'I say\nSCORE: 3'), 3)
  assert.equal(await score(regex('(?i)rating:\\s*(?P<n>\\d+(\\.\\d+)?)', 'float'), 'Rating: 2.5'), 2.5)
  assert.equal(await score(regex('RATING: (\\S+)'), 'RATING: 2.5'), null)
  assert.equal(await score(regex('RATING: (\\d)'), 'no rating'), null)
  const json = { type: 'float', parser: { type: 'json', json_path: 'result.s' } }
  assert.equal(await score(json, 'Here: ```json\n{"result": {"s": 0.5}}\n```'), 0.5)
  assert.equal(await score(json, '{"result": {"s": '), null)
  assert.equal(await score({ type: 'int', parser: { type: 'json_schema' } }, '{"s": 4}'), 4)
  assert.equal(await score({ type: 'bool', parser: { type: 'json' } }, '{"s": true}'), 1)
  assert.equal(await score({ type: 'int', parser: { type: 'int' } }, 'of 10 points, 7'), 7)
  assert.equal(await score({ type: 'float' }, 'none'), null)
  assert.equal(await score(regex('S: (\\d)'), '<think>S: 1</think>S: 2'), 2)
})

test('words of a rubric stand for their values', async () => {
  const rubric = [
    { label: 'Good', value: 1 },
    { label: 'bad', value: 0 },
  ]
  assert.equal(
    await score({ type: 'int', rubric, parser: { type: 'regex', pattern: '(\\w+)$' } }, 'it is good'),
    1,
  )
})

test('a regular expression that would run for ever is stopped', async () => {
  const spec = { type: 'int', parser: { type: 'regex', pattern: '^(a+)+$' } }
  await assert.rejects(score(spec, `${'a'.repeat(40)}!`), /takes longer than/)
})

test('scores that make no sense are named', async () => {
  assert.match(String(scoreSpecs(undefined)), /params\.scores is missing/)
  assert.match(String(await score({ type: 'colour' }, '')), /type "colour" is not one of/)
  assert.match(String(await score({ parser: { type: 'regex' } }, '')), /parser\.pattern is missing/)
  assert.match(String(await score({ parser: { type: 'xml' } }, '')), /parser\.type "xml"/)
})
