// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toStamp } from './dates.ts'

test('dates and times of any precision and offset become naive UTC with microseconds', () => {
  assert.equal(toStamp('2025-06-20T03:56:39.457820'), '2025-06-20T03:56:39.457820')
  assert.equal(toStamp('2025-06-20T03:56:39.4578201Z'), '2025-06-20T03:56:39.457820')
  assert.equal(toStamp('2025-06-20 03:56'), '2025-06-20T03:56:00.000000')
  assert.equal(toStamp('2025-06-20T03:56:39+02:00'), '2025-06-20T01:56:39.000000')
  assert.equal(toStamp('2025-06-20T03:56:39 02:00'), '2025-06-20T01:56:39.000000', 'a + decoded as a space')
  assert.equal(toStamp('2025-06-20T23:30:00-0100'), '2025-06-21T00:30:00.000000')
  assert.equal(toStamp('2025-06-20'), '2025-06-20T00:00:00.000000')
})

test('as an end, what is left out is its last moment', () => {
  assert.equal(toStamp('2025-06-20', true), '2025-06-20T23:59:59.999999')
  assert.equal(toStamp('2025-06-20T03:56', true), '2025-06-20T03:56:59.999999')
  assert.equal(toStamp('2025-06-20T03:56:39', true), '2025-06-20T03:56:39.999999')
})

test('what is no date is refused', () => {
  for (const text of [
    '',
    'soon',
    '2025',
    '2025-13-01',
    '2025-02-31',
    '2025-06-20T25:00',
    '1e9',
    '2025-06-20x',
  ]) {
    assert.equal(toStamp(text), undefined, text)
  }
})
