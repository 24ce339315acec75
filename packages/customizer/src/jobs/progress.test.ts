// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addLog, applyEvent, canMove, initialState } from './progress.ts'

const T = '2026-01-01T00:00:00.000Z'
const apply = (state: ReturnType<typeof initialState>, ...events: Record<string, unknown>[]) =>
  events.reduce((now: typeof state, event, i) => applyEvent(now, { t: T, ...event }, i + 1), state)

test('a job moves forward only, and back to pending when the platform stops', () => {
  assert.ok(canMove('created', 'pending') && canMove('running', 'completed') && canMove('running', 'pending'))
  assert.ok(
    !canMove('completed', 'running') && !canMove('cancelled', 'failed') && !canMove('cancelling', 'running'),
  )
})

test('the same log message again replaces its detail', () => {
  let state = initialState('t0')
  for (const detail of ['a', 'b'])
    state = addLog(state, { updated_at: detail, message: 'TrainingJobPending', detail })
  assert.deepEqual(
    state.logs.map((log) => log.detail),
    [undefined, 'b'],
  )
})

test('a run that goes on from a checkpoint replaces the points after it', () => {
  const step = (n: number, train_loss: number) => ({
    event: 'progress',
    step: n,
    epochs_completed: 0,
    train_loss,
  })
  const first = apply(
    initialState('t'),
    { event: 'started', steps_total: 9 },
    step(2, 1),
    step(4, 2),
    step(6, 3),
  )
  const resumed = apply(first, { event: 'started', steps_total: 9, resumed_from_step: 4 }, step(6, 5))
  assert.deepEqual(
    resumed.metrics.train_loss?.map((m) => [m.step, m.value]),
    [
      [1, 1],
      [3, 2],
      [5, 5],
    ],
  )
  assert.equal(resumed.steps_completed, 6)
})

test('values that are no numbers, and unknown events, change nothing', () => {
  const state = initialState('t')
  const odd = apply(state, { event: 'progress', step: 'x', train_loss: null }, { event: 'novel' }, {})
  assert.deepEqual({ ...odd, event_offset: 0 }, state)
})

test('warnings are kept once; progress without a loss makes no point', () => {
  const warning = { event: 'warning', message: 'rows were cut' }
  const state = apply(initialState('t'), warning, warning, { event: 'progress', step: 3 })
  assert.deepEqual(state.warnings, [{ message: 'rows were cut', explanation: null }])
  assert.deepEqual([state.steps_completed, state.metrics.train_loss], [3, []])
})
