// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bleuStats, corpusBleu, sentenceBleu } from './bleu.ts'
import { lastNumber, parseNumberCheck, parseStringCheck } from './checks.ts'
import { stem } from './porter.ts'
import { rouge } from './rouge.ts'
import { createAccumulator } from './stats.ts'
import { accuracy, exactMatch, normalize, tokenF1 } from './text.ts'
import { compareToolCalls, parseToolCalls } from './tool-calls.ts'

const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} is not ${expected}`)

test('sentence and corpus BLEU are those of sacrebleu', () => {
  // Values of sacrebleu 2.6.0 for the same texts.
  const pairs: [string, string[], number][] = [
    ['the cat sat on the mat', ['the cat sat on the mat'], 100.00000000000004],
    ['the cat sat on mat', ['the cat sat on the mat'], 57.89300674674101],
    ['the cat', ['the cat sat on the mat'], 13.533528323661276],
    ['It costs $3.14, e-mail me!', ['It costs $3.14; mail me.'], 36.55552228545123],
    ['', ['something'], 0],
    ['a b c d e', ['x y z', 'a b c q e f g'], 42.72870063962342],
  ]
  for (const [candidate, references, expected] of pairs) {
    near(sentenceBleu(bleuStats(candidate, references)), expected)
  }
  near(
    corpusBleu(pairs.map(([candidate, references]) => bleuStats(candidate, references.slice(0, 1)))),
    45.93994089305239,
  )
})

test('ROUGE is that of rouge-score with its stemmer', () => {
  const one = rouge('the quick brown foxes jumped', 'the quick brown fox jumps over')
  near(one.rouge_1_score, 0.9090909090909091)
  near(one.rouge_2_score, 0.888888888888889)
  near(one.rouge_3_score, 0.8571428571428571)
  near(one.rouge_L_score, 0.9090909090909091)
  const other = rouge('Police killed the gunman.', 'the gunman was killed by police')
  assert.deepEqual(Object.values(other), [0.8, 0.25, 0, 0.4])
  assert.equal(rouge('', 'text').rouge_L_score, 0)
})

test('stems are those of NLTK', () => {
  const words =
    'flies dying skies happily generalizations relational hopping agreed news conditional analogies'
  const expected = 'fli die sky happili gener relat hop agre news condit analog'
  assert.equal(words.split(' ').map(stem).join(' '), expected)
})

test('texts are compared without case, punctuation and articles', () => {
  assert.equal(normalize('  The  U.S.A.,  an Apple! '), 'usa apple')
  assert.equal(exactMatch('The Answer.', 'answer'), 1)
  assert.equal(accuracy('The Answer.', 'answer'), 0)
  assert.equal(accuracy('yes', ' yes\n'), 1)
  near(tokenF1('the big red dog', 'a red dog barks'), 2 / 3)
  assert.deepEqual([tokenF1('the', ''), tokenF1('x', ''), tokenF1('x x', 'x y')], [1, 0, 0.5])
})

test('checks compare texts and the last numbers in them', () => {
  const strings = (check: unknown) => {
    const parsed = parseStringCheck(check)
    return typeof parsed === 'string' ? parsed : parsed.compare(parsed.left, parsed.right, undefined)
  }
  assert.deepEqual(
    [strings(['a', 'equals', 'a']), strings(['ab', 'CONTAINS', 'b']), strings(['ab', 'not contains', 'b'])],
    [1, 1, 0],
  )
  assert.deepEqual([strings(['ab', 'startswith', 'b']), strings(['ab', 'endswith', 'b'])], [0, 1])
  assert.match(String(strings(['a', 'like', 'b'])), /operator "like" is not one of/)
  assert.match(String(strings(['a', 'b'])), /check must be/)
  const numbers = (check: unknown) => {
    const parsed = parseNumberCheck(check)
    return typeof parsed === 'string' ? parsed : parsed.compare(parsed.left, parsed.right, parsed.epsilon)
  }
  assert.deepEqual([lastNumber('from 3 to -4.5.'), lastNumber('.5'), lastNumber('none')], [-4.5, 0.5, null])
  assert.equal(numbers(['it is 4', '>=', '3 or 4']), 1)
  assert.equal(numbers(['it is four', '==', '4']), null)
  assert.equal(numbers(['absolute difference', '1.05', '1', 'epsilon', 0.1]), 1)
  assert.equal(numbers(['absolute difference', '1.5', '1', 'epsilon', 0.1]), 0)
  assert.match(String(numbers(['absolute difference', '1', '2'])), /epsilon/)
})

test('tool calls are compared without order, and arguments that are not JSON cannot be', () => {
  const call = (name: string, args: unknown) => ({ function: { name, arguments: args } })
  const parse = (...calls: unknown[]) => parseToolCalls(JSON.stringify(calls))
  const both = compareToolCalls(
    parse(call('a', { x: 1, y: [2] }), call('b', {})),
    parse(call('b', '{}'), call('a', '{"y": [2], "x": 1}')),
  )
  assert.deepEqual(both, { function_name_accuracy: 1, function_name_and_args_accuracy: 1 })
  assert.deepEqual(compareToolCalls(parse(call('a', {})), parse(call('A', {}))), {
    function_name_accuracy: 0,
    function_name_and_args_accuracy: 0,
  })
  assert.deepEqual(compareToolCalls(parse(call('a', {})), parse(call('a', '{"x":'))), {
    function_name_accuracy: 1,
    function_name_and_args_accuracy: null,
  })
  assert.deepEqual(compareToolCalls(parse(call('a', {})), parseToolCalls('')), {
    function_name_accuracy: 0,
    function_name_and_args_accuracy: 0,
  })
  assert.equal(parseToolCalls('no json'), undefined)
})

test('statistics are the population’s, and unreadable values are only counted', () => {
  const accumulator = createAccumulator()
  for (const value of [1, 2, 3, 4, null]) accumulator.add(value)
  const { value, stats } = accumulator.score()
  assert.equal(value, 2.5)
  assert.deepEqual(
    [stats?.count, stats?.sum, stats?.sum_squared, stats?.min, stats?.max, stats?.nan_count],
    [4, 10, 30, 1, 4, 1],
  )
  near(stats?.variance ?? 0, 1.25)
  near(stats?.stderr ?? 0, Math.sqrt(1.25) / 2)
  assert.equal(createAccumulator().score().value, null)
})
