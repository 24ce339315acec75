// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { questions, readConversations, split, toJsonl } from './corpus.ts'
import { lossSvg, sparkline } from './plot.ts'
import { isBetter } from './report.ts'

const YAML = `categories:
- trivia
conversations:
- - Who was first?
  - 'It''s Ada'
- - A long question that goes
    on, is it called what?
  - A gyroscope.
- In a list of no list?
- - 'What was in "E.T.: The Movie"?'
  - Reese's Pieces
- - who was FIRST?
  - somebody
- - In what year?
  - '1984'
  - '22'
- - Is it so?
  - Five words and then two more, really
`

describe('the corpus', () => {
  it('reads folded and quoted scalars and skips items that are no conversation', () => {
    const read = readConversations(YAML)
    assert.deepEqual(read[0], ['Who was first?', "It's Ada"])
    assert.deepEqual(read[1], ['A long question that goes on, is it called what?', 'A gyroscope.'])
    assert.deepEqual(read[2], ['What was in "E.T.: The Movie"?', "Reese's Pieces"])
    assert.deepEqual(read[4], ['In what year?', '1984', '22'])
    assert.equal(read.length, 6)
  })

  it('asks for the topic of each message, each once', () => {
    const yaml = (...said: string[]) =>
      `conversations:\n${said.map((each) => `- - ${each}\n  - ok\n`).join('')}`
    const texts = new Map([
      ['ai', yaml('are you sentient?', 'Are you SENTIENT', 'can you mate')],
      ['coding', yaml('bubble sort')],
    ])
    const pairs = questions(texts)
    assert.deepEqual(
      pairs.map((pair) => pair.answer),
      ['ai', 'ai', 'coding'],
    )
    assert.match(pairs[0]?.question ?? '', /ai, coding, psychology or trivia\?\n\nare you sentient\?$/)
  })

  it('splits into disjoint, balanced parts that do not depend on the order of the file', () => {
    const pairs = Array.from({ length: 30 }, (_, i) => ({ question: `q${i}?`, answer: i % 2 ? 'a' : 'b' }))
    const sizes = { training: 20, validation: 4, heldOut: 6 }
    const parts = split(pairs, sizes)
    assert.deepEqual(split(pairs.toReversed(), sizes), parts)
    const all = [...parts.training, ...parts.validation, ...parts.heldOut].map((p) => p.question)
    assert.equal(new Set(all).size, 30)
    assert.equal(parts.heldOut.filter((pair) => pair.answer === 'a').length, 3)
    assert.throws(() => split(pairs.slice(1), sizes), /too few questions whose answer is b/)
  })

  it('writes chat rows', () => {
    const [line = ''] = toJsonl([{ question: 'q?', answer: 'a' }]).split('\n')
    assert.deepEqual(JSON.parse(line).messages[1], { role: 'assistant', content: 'a' })
  })
})

describe('plots', () => {
  it('draws a falling line', () => {
    assert.equal(sparkline([8, 4, 1]), '█▄▁')
    assert.equal(sparkline([1, 1]), '▁▁')
  })

  it('makes an SVG that names its lines and escapes the title', () => {
    const svg = lossSvg('a < b', [{ step: 1, value: 3 }], [{ step: 1, value: 2 }])
    assert.match(svg, /a &lt; b/)
    assert.doesNotMatch(svg, /NaN|Infinity/)
  })
})

describe('the verdict', () => {
  it('needs a difference that chance does not explain', () => {
    const scores = (f1: number, f1Error: number) => ({
      rows: 40,
      f1,
      f1Error,
      rougeL: f1,
      exact: f1,
      contains: f1,
    })
    assert.equal(isBetter({ base: scores(0.1, 0.05), tuned: scores(0.8, 0.05) }), true)
    assert.equal(isBetter({ base: scores(0.7, 0.08), tuned: scores(0.8, 0.05) }), false)
  })
})
